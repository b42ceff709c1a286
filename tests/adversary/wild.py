"""A misbehaving model server: its replies are cut, silent, slow, endless, compressed or invalid."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.support.upstreams import HEAD, Peer, Serve, upstream


def _said(text: str) -> bytes:
    delta = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(delta).encode() + b"\n\n"


async def _good(peer: Peer) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    done = b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n"
    await peer.send(HEAD + _said("I am well. ") + done)


async def _cut(peer: Peer) -> None:
    await peer.send(HEAD + _said("Half of ") + b'data: {"choices": [{"ind')


async def _reset(peer: Peer) -> None:
    await peer.send(HEAD + _said("Half of "))
    peer.reset()


async def _silent(peer: Peer) -> None:
    await peer.until_gone()


async def _slow(peer: Peer) -> None:
    await peer.send(HEAD)
    for byte in _said("one by one"):
        await peer.send(bytes((byte,)))
        await asyncio.sleep(0.05)


async def _endless(peer: Peer) -> None:
    await peer.send(HEAD)
    while True:
        await peer.send(_said("and on ") * 10)


async def _one_line(peer: Peer) -> None:
    await peer.send(HEAD + b"data: ")
    while True:
        await peer.send(b"x" * 65_536)


async def _rubbish(peer: Peer) -> None:
    await peer.send(HEAD + bytes(random.Random(7).randbytes(200_000)))


async def _no_http(peer: Peer) -> None:
    await peer.send(b"\x16\x03\x01" + b"\0" * 70_000)


async def _other_json(peer: Peer) -> None:
    for text in ("[]", "null", '{"choices": 7}', "[" * 9_000, '{"choices": [{"delta": [1e999]}]}'):
        await peer.send((HEAD if text == "[]" else b"") + f"data: {text}\n\n".encode())


async def _failing(peer: Peer) -> None:
    page = b"<html>" + b"no " * 50_000
    await peer.send(b"HTTP/1.1 502 Bad\r\ncontent-length: %d\r\n\r\n" % len(page) + page)


async def _bomb(peer: Peer) -> None:
    """A body that is small until it is decompressed, and then contains only comments."""
    head = HEAD.replace(b"connection:", b"content-encoding: gzip\r\nconnection:")
    await peer.send(head + gzip.compress(b": nothing\n" * 8_000_000))


BEHAVIOURS: tuple[Serve, ...] = (
    _good,
    _cut,
    _reset,
    _silent,
    _slow,
    _endless,
    _one_line,
    _rubbish,
    _no_http,
    _other_json,
    _failing,
    _bomb,
)


@asynccontextmanager
async def wild(chance: random.Random, done: Counter[str]) -> AsyncGenerator[str, None]:
    """The server's URL; it serves each connection in a different way."""

    async def any_of_them(peer: Peer) -> None:
        behaviour: Callable[[Peer], Awaitable[None]] = chance.choice(BEHAVIOURS)
        done[behaviour.__name__.strip("_")] += 1
        await behaviour(peer)

    async with upstream(any_of_them) as (url, _):
        yield url
