"""How a client sends requests: it retries until it gets a reply, and resumes a stream where it broke off.
Replies that no client may get (a 500, a refusal of something that exists, silence) are kept in `wrong`."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from tests.adversary.witness import Asked, Piece, Tape

SILENT_SECONDS = 15.0
"""A stream sends at least a heartbeat each second."""
GONE = (aiohttp.ClientError, OSError)
CUT_OFF = b'"code":"stream_cut_off"'
"""The last frame of AG-UI when the server stops: its clients do not support a connection that breaks."""
Resume = Callable[[Tape], tuple[Asked, int] | None]
"""The request for the rest of a tape, and the number of its first frame."""


class Answer:
    """A status, and the reply that came with it."""

    def __init__(self, status: int, body: bytes, run: str) -> None:
        self.status = status
        self.body = body
        self.run = run

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One tenant's requests to the server, which is often down."""

    def __init__(self, url: str, token: str, chance: random.Random, said: Counter[str]) -> None:
        self.url = url
        self.said = said
        self.wrong: list[str] = []
        self._chance = chance
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENT_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=timeout,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(
        self, asked: Asked, fine: Sequence[int] = (200,), again: Sequence[int] = ()
    ) -> Answer:
        """A request that is sent until it gets a reply."""
        while True:
            try:
                answer = await self.once(asked)
            except GONE as error:
                self._cut(asked, error)
            else:
                if answer.status in fine:
                    return answer
                if answer.status not in again:
                    self._refused(asked, answer)
            await self.pause()

    async def once(self, asked: Asked) -> Answer:
        """A request, sent once. Raises `GONE`."""
        async with self._session.request(
            asked.method, self.url + asked.path, data=asked.body, headers=asked.headers
        ) as reply:
            body = await reply.read()
            self.said[str(reply.status)] += 1
            if reply.status == 503 and "retry-after" not in reply.headers:
                self.wrong.append(f"{asked.method} {asked.path}: 503 without retry-after")
            return Answer(reply.status, body, _run(reply))

    async def follow(self, tape: Tape, begin: Asked, resume: Resume = lambda _: None) -> None:
        """Read a reply to its end, however often it is cut."""
        while True:
            asked, first = resume(tape) or (begin, 0)
            piece = Piece(first)
            try:
                async with self._session.request(
                    asked.method, self.url + asked.path, data=asked.body, headers=asked.headers
                ) as reply:
                    self.said[str(reply.status)] += 1
                    if reply.status == 200:
                        await self._read(tape, piece, reply)
                        if piece.ended:
                            return
                    else:
                        self._refused(asked, Answer(reply.status, await reply.read(), ""))
            except GONE as error:
                self._cut(asked, error)
            await self.pause()

    async def _read(self, tape: Tape, piece: Piece, reply: aiohttp.ClientResponse) -> None:
        run = _run(reply)
        if tape.run not in ("", run):
            self.wrong.append(f"{tape.surface}: a reply of run {tape.run} went on as {run}'s")
        tape.run = run
        tape.pieces.append(piece)
        end = b"\n" if tape.surface == "session" else b"\n\n"
        async for data in reply.content.iter_any():
            piece.rest = take(piece, piece.rest + data, end)
        piece.ended = True
        if piece.frames and CUT_OFF in piece.frames[-1]:
            piece.frames.pop()
            piece.ended = False

    def _cut(self, asked: Asked, error: BaseException) -> None:
        self.said[f"cut: {type(error).__name__}"] += 1
        if isinstance(error, TimeoutError) and not isinstance(
            error, aiohttp.ConnectionTimeoutError
        ):
            self.wrong.append(f"{asked.method} {asked.path}: silent for {SILENT_SECONDS} s")

    def _refused(self, asked: Asked, answer: Answer) -> None:
        if answer.status != 503:
            told = f"{answer.status} {answer.body[:300]!r}"
            self.wrong.append(f"{asked.method} {asked.path} {asked.body!r}: {told}")

    async def pause(self) -> None:
        """Wait before the next try."""
        await asyncio.sleep(0.02 + 0.1 * self._chance.random())


def take(piece: Piece, data: bytes, end: bytes) -> bytes:
    """Add complete frames, without heartbeats; returns the incomplete rest."""
    *whole, rest = data.split(end)
    for each in whole:
        kept = b"\n".join(line for line in each.split(b"\n") if line and not line.startswith(b":"))
        if kept:
            piece.frames.append(kept + end)
    while rest.startswith(b":") and b"\n" in rest:  # a heartbeat has no blank line after it
        rest = rest[rest.index(b"\n") + 1 :]
    return rest


def _run(reply: aiohttp.ClientResponse) -> str:
    return reply.headers.get("x-run-id", "").removeprefix("run_")
