"""Bytes without end on one connection: the server's memory does not grow, it closes the connection, and it
serves all other clients.

Measured from outside: the peak of resident memory of the process, which is reset before each attack.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.support.hostile import ENDLESS, attack, packed, reply_to
from tests.support.servers import ChildServer, running

MOST_BODY = 1_000_000
SENT = 24_000_000
"""The most bytes that an attack sends: without limits these would cost the server ten times as much
memory."""
TAKEN = 16_000_000
"""The most bytes of these that a server accepts: a body, some more, and the buffers of both sockets."""
GROWTH = 8_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with running(folder, server=f"max_body_bytes = {MOST_BODY}") as child:
        _memory(child, *ENDLESS)  # memory that is allocated once
        yield child
        assert "Traceback" not in child.errors()


def _memory(server: ChildServer, *_: object) -> int:
    """The peak of the process's memory since the last reset, in bytes."""
    assert server.process is not None
    place = Path(f"/proc/{server.process.pid}")
    lines = (place / "status").read_text(encoding="ascii").splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM"))
    (place / "clear_refs").write_text("5", encoding="ascii")
    return int(peak.split()[1]) * 1024


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_costs_no_memory(server: ChildServer, name: str) -> None:
    _memory(server)
    before = _memory(server)
    taken, _ = attack(server.port, ENDLESS[name], SENT)
    assert httpx.get(server.url + "/healthz").status_code == 200
    assert _memory(server) - before < GROWTH
    assert taken < TAKEN, "it would be read for ever"


@pytest.mark.parametrize("coding", ["gzip", "zstd", "gzip, gzip", "zstd, gzip"])
def test_a_body_is_bounded_by_what_it_is_unpacked_to(server: ChildServer, coding: str) -> None:
    bomb = packed(coding, b" " * 200_000_000)
    assert len(bomb) < MOST_BODY
    _memory(server)
    before = _memory(server)
    said = reply_to(server.port, bomb)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"over 1000000 bytes" in said
    assert _memory(server) - before < 2 * GROWTH


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("path", "status"), [("/jobs", 413), ("/nowhere", 404), ("/healthz", 405)])
def test_a_client_that_sends_everything_first_gets_the_reply(
    server: ChildServer, path: str, status: int, late: bool
) -> None:
    """If a socket is closed while it has unread bytes, the reply is lost too."""
    body = b"x" * 1_400_000
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % (path.encode(), len(body)))
        if late:
            assert select.select([connection], [], [], 10)[0], "it is answered at once"
        connection.sendall(body)
        said = b""
        while piece := connection.recv(65_536):
            said += piece
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in said
