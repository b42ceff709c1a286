"""What the benchmarks share: servers in child processes, their CPU and memory, and a light load generator.

The server is pinned to one core and the load to another. CPU is the server process's own, from the kernel, so
the load generator's cost is not in it. The peer in every question is the least a server can do: a uvicorn
application that writes the same bytes at the same pace and keeps nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import uvloop

TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = 0, 1
WARM_FRAMES = 25
"""Frames that every stream has had before a steady state is measured: the first second is over."""
STEADY_SECONDS = 8.0

CONFIG = """
[models.fast]
dialect = "echo"

[models.paced]
dialect = "echo"
interval_ms = 50
"""

RAW = """
import asyncio, sys, uvicorn
FRAME = b'event: response.output_text.delta\\ndata: ' + b'x' * 180 + b'\\n\\n'

async def app(scope, receive, send):
    if scope['type'] != 'http':
        return
    count, pause = map(float, scope['query_string'].decode().split(','))
    loop = asyncio.get_running_loop()
    due = loop.time()
    headers = [(b'content-type', b'text/event-stream')]
    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
    for _ in range(int(count)):
        if pause:  # at deadlines, as the echo model keeps them: nothing drifts
            due += pause
            await asyncio.sleep(max(due - loop.time(), 0))
        await send({'type': 'http.response.body', 'body': FRAME, 'more_body': True})
    await send({'type': 'http.response.body', 'body': b''})

port = int(sys.argv[1])
uvicorn.run(app, port=port, loop='uvloop', http='httptools', log_level='error', lifespan='off')
"""


class Server:
    """A server process: what it has cost, and how to reach it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, all threads."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat")
            .read_text(encoding="utf-8")
            .rsplit(")", 1)[1]
            .split()
        )
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def tailrace(config: str = CONFIG) -> Generator[Server, None, None]:
    """tailrace with durable SQLite, over a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        file = Path(name) / "tailrace.toml"
        file.write_text(config, encoding="utf-8")
        port = _free_port()
        command = [sys.executable, "-m", "tailrace", "serve", str(file), "--port", str(port)]
        with _running(command, port) as server:
            yield server


@contextmanager
def raw(code: str = RAW, *arguments: str) -> Generator[Server, None, None]:
    """The bare uvicorn writer, or another script that takes a port and these arguments."""
    port = _free_port()
    with _running([sys.executable, "-c", code, str(port), *arguments], port) as server:
        yield server


@contextmanager
def upstream() -> Generator[Server, None, None]:
    """The model server of `upstream.py`, on the core of the load."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.upstream", str(port)]
    with _running(command, port, LOAD_CORE) as server:
        yield server


@contextmanager
def _running(
    command: list[str], port: int, core: int = SERVER_CORE
) -> Generator[Server, None, None]:
    process = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        _until_open(port)
        yield Server(process, port)
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Reader(asyncio.Protocol):
    """One streaming request; counts frames, notes the time of the first one that carries a token."""

    def __init__(self, request: bytes, mark: bytes) -> None:
        self.frames = 0
        self.size = 0
        self.begun = 0.0
        self.first: float | None = None
        self.first_byte: float | None = None
        self.ended = asyncio.get_running_loop().create_future()
        self._request = request
        self._mark = mark
        self._last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.begun = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.first_byte is None:
            self.first_byte = time.perf_counter()
        if self.first is None and self._mark in data:
            self.first = time.perf_counter()
        self.size += len(data)
        self.frames += data.count(b"\n\n")
        if data.endswith(b"0\r\n\r\n"):
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(time.perf_counter())
            self.transport.close()


AnyReader = TypeVar("AnyReader", bound=Reader)


def post(path: str, body: object) -> bytes:
    """A request."""
    data = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def get(path: str) -> bytes:
    """A request."""
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def responses(model: str, words: int) -> bytes:
    """A streamed Responses request for so many tokens."""
    return post("/v1/responses", {"model": model, "input": "word " * words, "stream": True})


async def load(port: int, request: bytes, streams: int, mark: bytes = b"delta") -> list[Reader]:
    """Run so many streams of one request side by side to their ends."""
    readers = await begin(port, request, streams, mark)
    await asyncio.gather(*(reader.ended for reader in readers))
    return readers


async def begin(port: int, request: bytes, streams: int, mark: bytes = b"delta") -> list[Reader]:
    """Open so many streams."""
    return await connect(port, streams, lambda: Reader(request, mark))


async def connect(port: int, streams: int, make: Callable[[], AnyReader]) -> list[AnyReader]:
    """Open so many streams with readers of any kind; 50 at a time, as a balancer would."""
    loop = asyncio.get_running_loop()
    readers: list[AnyReader] = []
    for start in range(0, streams, 50):
        made = await asyncio.gather(
            *(
                loop.create_connection(make, "127.0.0.1", port)
                for _ in range(min(50, streams - start))
            )
        )
        readers += [reader for _, reader in made]
    return readers


def cost(server: Server, request: bytes, streams: int) -> float:
    """Microseconds of server CPU per frame delivered."""
    before = server.cpu()
    frames = sum(reader.frames for reader in uvloop.run(load(server.port, request, streams)))
    return (server.cpu() - before) / frames * 1e6


def steady(server: Server, request: bytes, streams: int) -> float:
    """Microseconds of server CPU per frame delivered while all streams are open."""
    return uvloop.run(_steady(server, request, streams))


async def _steady(server: Server, request: bytes, streams: int) -> float:
    readers = await begin(server.port, request, streams)
    while any(reader.frames < WARM_FRAMES for reader in readers):
        await asyncio.sleep(0.1)
    before, frames = server.cpu(), sum(reader.frames for reader in readers)
    await asyncio.sleep(STEADY_SECONDS)
    spent, told = server.cpu() - before, sum(reader.frames for reader in readers) - frames
    for reader in readers:
        reader.transport.abort()
    return spent / told * 1e6


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the server does not answer")
