"""Clients of one server, on every surface: each starts a turn, reads it, and is cut off in some of them. A
client that was cut off continues with the cursor of the surface. The final stream must be the one that the
server shows for a request of the complete turn."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.soak.clients import GONE, Reader, Traffic

CUT = 0.3
"""The share of readers that are cut off in the middle."""
TURNS = 5
"""Turns of one conversation, before another one starts."""
WALK = "walk"
ATTEMPTS = 100
"""Tries of one request, before it counts as never answered."""


class _Cut(Exception):
    """The client disconnects."""


class Guest:
    """One client of one surface; `finished` counts its turns."""

    def __init__(self, traffic: Traffic, surface: str) -> None:
        self.surface = surface
        self.finished: Counter[str] = Counter()
        self._traffic = traffic
        self._talk = ""
        self._turns = self._cut_at = 0

    async def go_on(self, stop: asyncio.Event, pause: float) -> None:
        """Run one turn after the other until `stop`, with so many seconds between two on average."""
        while not stop.is_set():
            await asyncio.sleep(pause * 2 * self._traffic.chance.random())
            await self._turn()

    async def _turn(self) -> None:
        self._cut_at = self._traffic.chance.randint(1, 12) * (self._traffic.chance.random() < CUT)
        reader = await self._begin()
        if self._cut_at and not reader.done:
            self.finished["cut"] += 1
        await reader.follow()
        again = Reader(self._traffic, reader.run, self.surface)
        await again.follow()
        self.finished[self.surface] += 1
        if again.frames != reader.frames:
            self._traffic.wrong.append(f"{reader.run} as {self.surface} is another when read again")

    async def _begin(self) -> Reader:
        """Start a turn and read it, to its end or until it is cut."""
        if self._turns % TURNS == 0:
            self._talk = secrets.token_hex(8)
        self._turns += 1
        path, body = request(self.surface, self._talk, self._turns)
        headers = {"idempotency-key": secrets.token_hex(8)}
        for _ in range(ATTEMPTS):
            try:
                reader = await self._sent(path, body, headers)
            except GONE as error:
                self._traffic.said[type(error).__name__] += 1
            else:
                if reader is not None:
                    return reader
            await self._traffic.pause()
        raise AssertionError(f"POST {path} is never answered")

    async def _sent(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Reader | None:
        """A reader of the run that the request began, or None if the request was refused."""
        url = self._traffic.server().url + path
        async with self._traffic.session.post(url, json=body, headers=headers) as reply:
            if not self._traffic.heard(reply, f"POST {path}", (200, 202)):
                return None
            run = reply.headers["x-run-id"].removeprefix("run_")
            reader = Reader(self._traffic, run, self.surface)
            with suppress(_Cut, *GONE):
                if reply.status == 200:
                    await reader.read(reply, lambda _: self._cut(reader))
            if reply.status != 200:
                with suppress(_Cut):
                    await reader.follow(lambda _: self._cut(reader))
            return reader

    def _cut(self, reader: Reader) -> None:
        if len(reader.frames) == self._cut_at:
            raise _Cut


def request(surface: str, talk: str, turn: int) -> tuple[str, dict[str, Any]]:
    """The request of a client of a surface."""
    text = f"{WALK} {turn}"
    said = [{"role": "user", "content": text}]
    match surface:
        case "native":
            return "/jobs", {"agent": "walker", "input": text}
        case "responses":
            return "/v1/responses", {"model": "walker", "input": text, "stream": True}
        case "chat":
            options = {"stream": True, "stream_options": {"include_usage": True}}
            return "/v1/chat/completions", {"model": "walker", "messages": said, **options}
        case "messages":
            body = {"model": "walker", "max_tokens": 1000, "messages": said, "stream": True}
            return "/v1/messages", body
        case "session":
            return "/api/stream", {"message": text, "agentId": "walker", "sessionId": talk}
        case "ui":
            part = {"type": "text", "text": text}
            message = {"id": f"{talk}{turn}", "role": "user", "parts": [part]}
            return "/api/chat", {"id": talk, "agent": "walker", "messages": [message]}
        case "agui":
            message = {"id": f"{talk}{turn}", "role": "user", "content": text}
            names = {"threadId": talk, "runId": f"{talk}.{turn}", "messages": [message]}
            more: dict[str, Any] = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
            return "/agui/walker", {**names, **more}
        case _:
            raise ValueError(surface)
