"""An event that a client can cause a thousand times is not logged a thousand times, and each message is one
line."""

from __future__ import annotations

import io
import json
import logging
import re
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tailrace.http.logs import LONGEST, MOST, SECONDS, PlainFormatter, RateLimit, plain
from tests.crash.test_faults import filesystem, limited
from tests.http.test_deploy import state, until
from tests.http.test_limits import key, wants_keys
from tests.support.servers import CONFIG, ChildServer, select_a_moment

PLACES = 8
"""Places in the code that may log for one kind of request."""

ODD = {
    "a new line": "a\r\nERROR forged: b",
    "a terminal's command": "\x1b[2J\x1b]0;title\x07",
    "another terminal's": "\x9b31m",
    "half a character": "a\ud800b",
    "what turns the text around": "a\u202eb",
    "a line of another kind": "a\u2028b\x85c\x0bd",
    "nothing": "\0",
}


@pytest.mark.parametrize("name", ODD)
def test_a_message_is_one_line_of_text(name: str) -> None:
    said = io.StringIO()
    log, handler = _logging(said, RateLimit())
    log.error("seen: %s", ODD[name])
    log.removeHandler(handler)
    (line,) = said.getvalue().splitlines()
    assert line.isprintable()
    assert "seen: " in line


def test_what_people_read_stays_as_it_is() -> None:
    assert plain("Zürich, 東京 🎩") == "Zürich, 東京 🎩"
    assert len(plain("x" * 100_000)) == LONGEST


def test_a_traceback_forges_no_line_either() -> None:
    said = io.StringIO()
    log, handler = _logging(said, RateLimit())
    try:
        raise ValueError("a\nERROR forged: b\x1b[2J")
    except ValueError:
        log.exception("it failed")
    log.removeHandler(handler)
    first, *trace = said.getvalue().splitlines()
    assert "ERROR" in first
    assert all(line.startswith("  ") and line.isprintable() for line in trace)


def test_one_place_writes_a_limited_number_of_lines_and_counts_the_rest() -> None:
    said = io.StringIO()
    now = 0.0
    log, handler = _logging(said, RateLimit(lambda: now))
    for number in range(1_000):
        log.error(f"of a client: {number}")  # noqa: G004 - a message of its own each time
    log.error("of somebody else")
    now += SECONDS
    log.error("of somebody else")
    for number in range(2):
        log.error(f"of a client: {number}")  # noqa: G004
    log.removeHandler(handler)
    lines = said.getvalue().splitlines()
    assert len(lines) == MOST + 4
    assert lines[MOST - 1].endswith("(more like this are left out for 60 s)")
    assert "left out" not in "".join(lines[MOST:])


def test_the_next_minute_reports_how_many_lines_were_omitted() -> None:
    said = io.StringIO()
    now = 0.0
    log, handler = _logging(said, RateLimit(lambda: now))
    for number in range(MOST + 7):
        if number == MOST + 6:
            now += SECONDS
        log.error("again")
    log.removeHandler(handler)
    assert said.getvalue().splitlines()[-1].endswith("again (6 more like this were left out)")


def _logging(file: io.StringIO, bounded: RateLimit) -> tuple[logging.Logger, logging.Handler]:
    handler = logging.StreamHandler(file)
    handler.setFormatter(PlainFormatter())
    handler.addFilter(bounded)
    log = logging.Logger(
        "tests.logs"
    )  # no other reader's: what others capture of it cannot all be sent on
    log.addHandler(handler)
    return log, handler


@pytest.fixture
def server(tmp_path: Path) -> Generator[ChildServer]:
    settings = 'data = "data"\nshutdown_seconds = 0.1\naudit = "disk/audit.jsonl"'
    with filesystem(tmp_path / "disk"):
        child = ChildServer(tmp_path, server=settings).start()
        try:
            yield child
            assert "Traceback" not in child.errors()
        finally:
            child.kill()


MALFORMED = {
    "rubbish": b"\0\1\2\r\n\r\n",
    "two framings": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "a coding": b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    "a host that is none": b"POST /jobs HTTP/1.1\r\nhost: [\r\ncontent-length: 2\r\n\r\n{}",
    "a path that is none": b"GET //[/%0a%0dERROR%20forged HTTP/1.1\r\nhost: [\r\n\r\n",
    "bytes in a header": b"GET /jobs HTTP/1.1\r\nhost: localhost\r\nx-api-key: \xff\xfe\r\n\r\n",
    "no JSON": b'POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"a":"\\ud8',
}


def windows_since(begun: float) -> int:
    """How many windows of the rate limit a place may have begun since."""
    return 1 + int((time.monotonic() - begun) // SECONDS)


def assert_few(lines: list[str], windows: int) -> None:
    """Each place wrote `MOST` messages a window, and few places wrote any. The lines of a traceback or a
    stack belong to their message; a message without its time, its ids and its numbers names its place."""
    messages = [line[len("2026-12-01 00:00:00,000 ") :] for line in lines if line[:1] != " "]
    places = Counter(
        tuple(re.sub(r"[0-9a-z]{26}|[0-9]+", "#", message).split()[:5]) for message in messages
    )
    assert max(places.values(), default=0) <= MOST * windows, places
    assert len(places) <= PLACES, places


@pytest.mark.parametrize("keys", [False, True])
def test_a_thousand_malformed_requests_are_a_few_lines(server: ChildServer, keys: bool) -> None:
    if keys:
        wants_keys(server)
    said = set()
    before, begun = server.errors().count("\n"), time.monotonic()
    for number in range(1_000):
        request = list(MALFORMED.values())[number % len(MALFORMED)]
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_RDWR) if number % 50 == 49 else said.add(
                connection.recv(12)
            )
    assert {reply[9:12] for reply in said} <= {b"", b"200", b"400", b"401", b"403", b"404", b"501"}
    lines = server.errors().splitlines()[before:]
    assert_few(lines, windows_since(begun))
    assert not any(line.startswith("ERROR forged") for line in lines)


@pytest.mark.timeout(120)
def test_a_thousand_requests_to_a_store_that_cannot_write_are_a_few_lines(
    server: ChildServer,
) -> None:
    wants_keys(server)
    mine = key(server, "one")
    log = server.folder / "data" / "tailrace.db-wal"
    ballast = server.folder / "disk" / "ballast"
    # From before the first of these lines: each place's first window begins after this.
    before, begun = len(server.errors().splitlines()), time.monotonic()
    with httpx.Client(base_url=server.url, headers=mine, timeout=30) as client:
        with (
            limited(server, resource.RLIMIT_FSIZE, log.stat().st_size),
            ballast.open("wb", 0) as file,
        ):
            try:
                while True:
                    file.write(b"x" * 65_536)
            except OSError:
                pass
            until(lambda: state(server) == (503, "the store cannot be written"))
            for _ in range(1_000):
                reply = client.post("/jobs", json={"agent": "echo", "input": "x"})
                assert reply.status_code == 503
            lines = server.errors().splitlines()[before:]
            windows = windows_since(begun)
        ballast.unlink()
        until(lambda: state(server) == (200, "ready"))
        assert client.post("/jobs", json={"agent": "echo", "input": "x"}).status_code == 202
    assert any("[server] audit: a line could not be written" in line for line in lines)
    assert_few(lines, windows)
    audit = (server.folder / "disk" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(audit[-1])["status"] == 202


def test_a_run_that_fails_is_a_line_with_the_reason(server: ChildServer) -> None:
    asked = {"agent": "helper", "input": "fail now"}
    run = httpx.post(f"{server.url}/jobs", json=asked, timeout=20).json()["run_id"]
    httpx.get(f"{server.url}/jobs/{run}/stream", timeout=20)
    suffix = run.removeprefix("run_")
    while f"run {suffix} of helper failed: The model is out." not in server.errors():
        select_a_moment()


BROKEN = "raise RuntimeError('no database\\\\nat all')"


def test_a_tool_servers_stderr_is_logged_with_its_traceback(tmp_path: Path) -> None:
    command = {"label": "docs", "command": sys.executable, "args": ["-c", BROKEN]}
    source = ", ".join(f"{name} = {json.dumps(value)}" for name, value in command.items())
    config = CONFIG + f'\n[agents.reader]\nmodel = "echo"\nmcp = [{{{{ {source} }}}}]\n'
    child = ChildServer(tmp_path, config=config).start()
    try:
        asked = {"agent": "reader", "input": "hello"}
        httpx.post(f"{child.url}/jobs", json=asked, timeout=20)
        while "RuntimeError: no database" not in child.errors():
            select_a_moment()
    finally:
        child.kill()
    lines = child.errors().splitlines()
    (first,) = [n for n, line in enumerate(lines) if "INFO tailrace.mcp: docs: Traceback" in line]
    assert lines[first + 1].startswith("    File")
