"""A model server in a process of its own that sends the data that a client's last message names, without
end and as fast as it can: `python -m tests.support.endless`. It prints its port."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
BATCH = 65_536
INTERIM = "interim replies"


def chunk(delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


def call(number: int, arguments: str) -> object:
    function = {"name": "find", "arguments": arguments}
    return {"tool_calls": [{"index": number, "id": f"c{number}", "function": function}]}


def _again(piece: bytes) -> Iterator[bytes]:
    many = piece * max(BATCH // len(piece), 1)
    while True:
        yield many


def _calls() -> Iterator[bytes]:
    number = 0
    while True:
        yield b"".join(chunk(call(n, "{}")) for n in range(number, number + 400))
        number += 400


def _growing() -> Iterator[bytes]:
    yield chunk(call(0, '{"what": "'))
    yield from _again(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "a" * 100}}]}))


def _gzip() -> Iterator[bytes]:
    packed = gzip.compress(chunk({"content": "word " * 20}) * 100_000)
    yield from _again(packed)


def _bomb(form: int) -> Iterator[bytes]:
    maker = zlib.compressobj(9, wbits=form)
    many = b": " + b" " * 1_000_000 + b"\n\n"
    while True:
        yield maker.compress(many) + maker.flush(zlib.Z_SYNC_FLUSH)


FLOODS: dict[str, tuple[bytes, Callable[[], Iterator[bytes]]]] = {
    "text": (b"", lambda: _again(chunk({"content": "word "}))),
    "reasoning": (b"", lambda: _again(chunk({"reasoning_content": "hm "}))),
    "arguments": (b"", _growing),
    "comments": (b"", lambda: _again(b": still here\n\n")),
    "white space": (b"", lambda: _again(b"\n")),
    "empty deltas": (b"", lambda: _again(chunk({"content": ""}))),
    "calls": (b"", _calls),
    "large events": (b"", lambda: _again(chunk({"content": "a" * 8_000_000}))),
    "gzip": (b"content-encoding: gzip\r\n", _gzip),
    "gzip bomb": (b"content-encoding: gzip\r\n", lambda: _bomb(zlib.MAX_WBITS | 16)),
    "deflate bomb": (b"content-encoding: deflate\r\n", lambda: _bomb(zlib.MAX_WBITS)),
    "br": (b"content-encoding: br\r\n", lambda: _again(b"\x0b\x02\x80")),
    INTERIM: (b"", lambda: _again(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "two codings": (b"content-encoding: gzip, gzip\r\n", _gzip),
}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
        said = body["messages"][-1]["content"]
        words = said if isinstance(said, str) else said[0]["text"]
        coding, flood = FLOODS[words]
        writer.write(HEAD + coding + b"\r\n" if words != INTERIM else b"")
        for piece in flood():
            writer.write(piece)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def endless() -> Generator[str]:
    """The base URL of such a server."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_main())
