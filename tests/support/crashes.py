"""Servers that die at a chosen write, and clients that keep the frames they received."""

from __future__ import annotations

import http
import http.client
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from _pytest.mark import ParameterSet

from tests.support.forks import Forks
from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment

KILLER = (Path(__file__).parents[1] / "crash" / "killing_server.py").read_text(encoding="utf-8")
FULL = os.environ.get("TAILRACE_CRASHES") == "all"
"""Whether every combination of deaths is tried (`make crash`); otherwise fewer of them, see `sampled`."""
DONE = b"data: [DONE]\n\n"


def sampled(cases: Sequence[tuple[Any, ...]]) -> list[ParameterSet]:
    """The moments of death that a suite tries: each third one in `make test`, those between in `make
    test-long`. Three, so that both sides of a commit occur."""
    return [
        pytest.param(*case, marks=() if FULL or not number % 3 else pytest.mark.long)
        for number, case in enumerate(cases)
    ]


def frames_of(body: bytes) -> list[bytes]:
    """Complete frames, without heartbeats and farewells; the start of a frame that was cut off is not a
    frame."""
    *whole, _ = body.split(b"\n\n")
    lines = [
        b"\n".join(ln for ln in frame.split(b"\n") if not ln.startswith(b":")) for frame in whole
    ]
    return [frame + b"\n\n" for frame in lines]


def read(
    url_port: int, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """A reply's run id and all frames that arrived before the connection ended, for whatever reason."""
    connection = http.client.HTTPConnection("127.0.0.1", url_port, timeout=patient(20))
    data = bytearray()
    run = ""
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        reply = connection.getresponse()
        run = reply.headers.get("x-run-id", "").removeprefix("run_")
        while piece := reply.read1(65536):
            data += piece
    except (http.client.HTTPException, OSError):
        pass  # killed in the middle: the bytes that arrived count
    finally:
        connection.close()
    return run, frames_of(bytes(data))


def read_rest(port: int, path: str) -> list[bytes]:
    """All frames of a stream of a server that is not killed; while its engine does not answer (503), the
    request is repeated, as clients do."""
    deadline = time.monotonic() + patient(60)
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(20))
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.status == http.HTTPStatus.OK:
            return frames_of(data)
        assert reply.status == http.HTTPStatus.SERVICE_UNAVAILABLE, data
        assert time.monotonic() < deadline, data
        select_a_moment()


def killer(number: int, side: str) -> str:
    first, second = f"'{number}'", f"'{side}'"
    return KILLER.replace("sys.argv.pop(1)", first, 1).replace("sys.argv.pop(1)", second, 1)


def read_until_killed(
    server: ChildServer, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """Read a stream; if it breaks off, the server has been killed: wait until it is dead."""
    run, frames = read(server.port, method, path, body)
    if frames[-1:] != [DONE]:
        assert server.process is not None
        server.process.wait(timeout=patient(10))
    return run, frames


class Client:
    """A client that reads a run to its end, over a server that dies at the given commits of its processes."""

    def __init__(self, server: ChildServer, deaths: list[tuple[int, str]], forks: Forks) -> None:
        self.server = server
        self._forks = forks
        self.kills = 0
        self._deaths = deaths
        self._start()

    def _killer(self, number: int, side: str) -> str:
        return killer(number, side)

    def _start(self) -> None:
        if self._deaths:
            number, side = self._deaths.pop(0)
            self.server.start(program=self._killer(number, side), doomed=True, forks=self._forks)
        else:
            self.server.start(forks=self._forks)

    def alive(self) -> bool:
        """Whether the server lives; a dead one is started again."""
        process = self.server.process
        if process is not None and process.poll() is None:
            return True
        self.kills += 1
        self._start()
        return False

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request that is sent until it gets a reply."""
        while True:
            try:
                return httpx.request(method, self.server.url + path, timeout=patient(20), **more)
            except httpx.HTTPError:
                self._until_dead()

    def whole(self, id: str) -> list[bytes]:
        """A response's frames, whatever happens meanwhile: the frames already received must not change."""
        seen: list[bytes] = []
        while seen[-1:] != [DONE]:
            cursor = f"starting_after={len(seen) - 1}" if seen else "stream=true"
            seen += read(self.server.port, "GET", f"/v1/responses/{id}?{cursor}")[1]
            if seen[-1:] != [DONE]:
                self._until_dead()
        return seen

    def _until_dead(self) -> None:
        if self.server.process is not None:
            self.server.process.wait(timeout=patient(10))
        self.alive()
