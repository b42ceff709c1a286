"""Bounds on input: bodies that are small and contain too much, heads that do not end."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from tailrace.errors import BadRequest
from tailrace.http import bodies
from tests.http.test_auth import SURFACES
from tests.support.patience import patient
from tests.support.servers import ChildServer, running

POSTS = [name for name, (method, _, _) in SURFACES.items() if method == "POST"]
DEEP = b"[" * 100 + b"]" * 100
FINE: dict[str, bytes] = {
    "plain": b'{"input": "x"}',
    "brackets in text": b'"' + b"[{" * 100_000 + b'"',
    "commas in text": msgspec.json.encode({"a": "," * 500_000}),
    "escapes": msgspec.json.encode({"a": ['\\"[,' * 1_000] * 100}),
    "as deep as may be": b"[" * 64 + b"]" * 64,
    "wide": msgspec.json.encode([[1, {"a": []}]] * 30_000),
    "no JSON": b"[" * 100,
    "an open text": b'{"a": "' + b"[" * 100,
}
REFUSED: dict[str, bytes] = {
    "deep": DEEP,
    "deep objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "deep beside text": b'{"t": "\\"]", "a": %b}' % DEEP,
    "many numbers": b"[" + b"1," * 300_000 + b"1]",
    "many lists": b"[" + b"[]," * 150_000 + b"[]]",
    "many texts": b"[" + b'"",' * 1_100_000 + b'""]',
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_passes(name: str) -> None:
    bodies.check_json(FINE[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_much_is_refused(name: str) -> None:
    with pytest.raises(BadRequest):
        bodies.check_json(REFUSED[name])


@pytest.mark.parametrize(
    "evil",
    [b'"' + b'\\"' * 500_000, b'"' * 1_999_999, b'"a\\' * 1_000_000, b"[" * 10_000_000],
    ids=["escapes", "quotes", "open", "brackets"],
)
def test_looking_costs_little(evil: bytes) -> None:
    began = time.process_time()
    with suppress(BadRequest):
        bodies.check_json(evil + b"," * 300_000)
    assert time.process_time() - began < 1.0, "decoding it would cost more"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with running(folder) as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.mark.parametrize("surface", POSTS)
def test_every_surface_refuses_in_its_own_form(server: ChildServer, surface: str) -> None:
    _, path, body = SURFACES[surface]
    for more in ({"x": msgspec.Raw(DEEP)}, {"x": msgspec.Raw(REFUSED["many numbers"])}):
        reply = httpx.post(server.url + path, content=msgspec.json.encode({**body, **more}))
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert "than" in (error if surface == "session" else error["message"])


def test_a_name_of_a_megabyte_costs_little_and_is_not_repeated(server: ChildServer) -> None:
    began = time.monotonic()
    reply = httpx.post(
        server.url + "/v1/responses", json={"model": "ec" * 500_000, "input": "x"}, timeout=20
    )
    assert reply.status_code == 404
    assert len(reply.content) < 3_000
    assert time.monotonic() - began < patient(5)


HEADS: dict[str, bytes] = {
    "many headers": b"".join(b"a%d: b\r\n" % n for n in range(300)),
    "a long header": b"a: " + b"x" * 70_000 + b"\r\n",
    "a header without end": b"a: " + b"x" * 500_000,
}


def _talk(server: ChildServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        got = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(65_536):
                got += piece
        except ConnectionError:
            pass  # it closes while we still send
        return got


@pytest.mark.parametrize("name", HEADS)
def test_heads_have_bounds(server: ChildServer, name: str) -> None:
    got = _talk(server, b"POST /jobs HTTP/1.1\r\nhost: localhost\r\n" + HEADS[name] + b"\r\n")
    assert got == b"" or got.startswith(b"HTTP/1.1 431 ")
    assert httpx.get(server.url + "/healthz").status_code == 200


def test_a_long_path_has_bounds_too(server: ChildServer) -> None:
    got = _talk(server, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert got == b"" or got.startswith(b"HTTP/1.1 431 ")


def test_requests_after_each_other_and_a_body_of_many_pieces(server: ChildServer) -> None:
    """The bounds apply to one head: not to the bytes after it, nor to all heads of a connection."""
    body = msgspec.json.encode({"agent": "echo", "input": "x" * 300_000})
    head = b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % len(body)
    pad = b"a: " + b"x" * 40_000 + b"\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    got = _talk(server, (head + pad + b"\r\n" + body) * 3 + last)
    assert got.count(b"HTTP/1.1 202 ") == 3
    assert b'{"status":"alive","runs":' in got


SLOW = """
from tailrace.http import uvicorn_protocol
uvicorn_protocol.HEAD_SECONDS = 0.3
from tailrace.cli import main
main()
"""


def test_a_head_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    child = ChildServer(tmp_path).start(program=SLOW)
    try:
        assert _talk(child, b"") == b""
        assert _talk(child, b"GET / HT") == b""
        whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
        assert _talk(child, whole + b"GET / HT").startswith(b"HTTP/1.1 200")
        with httpx.Client() as kept:
            for _ in range(3):
                assert kept.get(child.url + "/healthz").status_code == 200
    finally:
        child.kill()


TRICKLES = {
    "the rest of a body that was refused": (
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
        b"1\r\na\r\n",
    ),
    "empty lines before the next head": (
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"\r\n",
    ),
}


@pytest.mark.parametrize("name", TRICKLES)
def test_a_client_with_a_reply_is_not_waited_for(tmp_path: Path, name: str) -> None:
    child = ChildServer(tmp_path).start(program=SLOW)
    first, piece = TRICKLES[name]
    try:
        with socket.create_connection(("127.0.0.1", child.port), timeout=10) as connection:
            connection.sendall(first)
            assert connection.recv(12) == b"HTTP/1.1 200"
            connection.settimeout(0.05)
            assert _closed(connection, piece)
    finally:
        child.kill()


def _closed(connection: socket.socket, piece: bytes) -> bool:
    """Whether the server closes a connection that receives a piece only from time to time."""
    until = time.monotonic() + patient(3)
    while time.monotonic() < until:
        try:
            connection.sendall(piece)
            if not connection.recv(65_536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False
