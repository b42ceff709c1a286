"""Hostile bytes: connections without end, bodies that are almost right, invalid credentials. Their senders
must not get a 500, and other clients must not notice: `Pulse` is a client that checks it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import aiohttp

from tests.adversary.server import Victim
from tests.adversary.wire import GONE
from tests.support.hostile import ENDLESS, Hostile, attack, packed

MOST = 3_000_000
STATUS = re.compile(rb"HTTP/1\.[01] (\d\d\d) ")
ALLOWED = ("501", "503")
"""The statuses from 500 on that are allowed: not implemented, and try again."""

_MESSAGES: list[Any] = [{"role": "user", "content": "say hello"}]
GOOD: dict[str, Any] = {
    "/v1/responses": {"model": "talker", "input": "say hello", "stream": True},
    "/v1/chat/completions": {"model": "talker", "messages": _MESSAGES},
    "/v1/messages": {"model": "talker", "max_tokens": 9, "messages": _MESSAGES},
    "/v1/messages/count_tokens": {"model": "talker", "messages": _MESSAGES},
    "/v1/responses/input_tokens": {"input": "say hello", "model": "talker"},
    "/v1/conversations": {"items": [{"type": "message", "role": "user", "content": "hello"}]},
    "/api/chat": {
        "id": "c",
        "agent": "talker",
        "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "say"}]}],
    },
    "/api/stream": {"message": "say hello", "sessionId": "s", "agentId": "talker"},
    "/agui/talker": {"threadId": "t", "runId": "r", "messages": [{"id": "m", **_MESSAGES[0]}]},
    "/jobs": {"agent": "talker", "input": "say hello"},
    "/jobs/job_00000000000000000000000000/input": {"item": 1, "approved": True},
}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1e308,
    "",
    "\ud800",
    "\0\x1b[2J\r\n",
    "x" * 70_000,
    [],
    {},
    [[]],
    {"": {"": []}},
    ["a"] * 5_000,
    {"type": "message"},
    {"$ref": "#"},
    {"type": "object", "pattern": "^(a+)+$"},
)
CREDENTIALS = (
    "",
    "Bearer",
    "Bearer ",
    "Bearer " + "x" * 9_000,
    "Bearer oat_" + "0" * 64,
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.",
    "Basic YW5uOmFubg==",
    "Bearer \u00e9\u00e9",
    "bearer null",
)


def spoilt(value: Any, chance: random.Random) -> Any:
    """The value with some random changes."""
    if chance.random() < 0.15:
        return chance.choice(ODD)
    if isinstance(value, dict):
        kept = {key: spoilt(each, chance) for key, each in value.items() if chance.random() < 0.95}
        return {**kept, chance.choice(("stream", "tools", "metadata", "n")): chance.choice(ODD)}
    return [spoilt(each, chance) for each in value] if isinstance(value, list) else value


def body(path: str, chance: random.Random) -> bytes:
    """A request body that no client should send."""
    kind = chance.random()
    if kind < 0.7:
        return json.dumps(spoilt(GOOD[path], chance)).encode()
    if kind < 0.8:
        return chance.randbytes(chance.randrange(2_000))
    if kind < 0.9:
        whole = json.dumps(GOOD[path]).encode()
        return whole[: chance.randrange(len(whole))]
    depth = chance.choice((70, 900, 90_000))
    return b'{"model":"talker","input":%b}' % (b"[" * depth + b"]" * depth)


class Siege:
    """The sender of all that. `said` counts the replies, `wrong` has those that no client may get."""

    def __init__(self, victim: Victim, chance: random.Random) -> None:
        self._victim = victim
        self._chance = chance
        self.said: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def go_on(self, stop: asyncio.Event, lanes: int) -> None:
        """Run so many concurrent connections of each kind, until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(lanes):
                tasks.create_task(self._endless(stop))
                tasks.create_task(self._requests(stop))

    async def _endless(self, stop: asyncio.Event) -> None:
        bombs = {"a packed body": Hostile(packed("gzip", b" " * 30_000_000), b"x")}
        kinds = {**ENDLESS, **bombs}
        while not stop.is_set():
            name = self._chance.choice(list(kinds))
            with suppress(OSError):
                _, said = await asyncio.to_thread(
                    attack, self._victim.child.port, kinds[name], MOST
                )
                self.said["connections without end"] += 1
                for status in STATUS.findall(said):
                    self._told(status.decode(), f"{name}: {said[:300]!r}")
            await asyncio.sleep(0.01)

    async def _requests(self, stop: asyncio.Event) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not stop.is_set():
                with suppress(*GONE, TimeoutError, ValueError):
                    await self._request(session)
                await asyncio.sleep(0.01)

    async def _request(self, session: aiohttp.ClientSession) -> None:
        path = self._chance.choice(list(GOOD))
        data = body(path, self._chance)
        key = f"Bearer {self._chance.choice(list(self._victim.tokens.values()))}"
        if self._chance.random() < 0.2:
            key = self._chance.choice(CREDENTIALS)
        headers = {"authorization": key, "content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=15)
        url = self._victim.child.url + path
        async with session.post(url, data=data, headers=headers, timeout=timeout) as reply:
            told = await reply.content.read(2_000)
            self.said["requests"] += 1
            if key in CREDENTIALS and reply.status not in (401, 400, 431):
                self.wrong.append(f"{path} with {key[:40]!r}: {reply.status}")
            self._told(str(reply.status), f"{path} {data[:2_000]!r}: {told!r}")

    def _told(self, status: str, what: str) -> None:
        self.said[status] += 1
        if status >= "500" and status not in ALLOWED:
            self.wrong.append(f"{status} for {what}")


class Pulse:
    """A well-behaved client: measures the duration of a small reply, repeatedly."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self.seconds: list[float] = []
        self.wrong: list[str] = []

    async def go_on(self, stop: asyncio.Event) -> None:
        token = next(iter(self._victim.tokens.values()))
        headers = {"authorization": f"Bearer {token}"}
        asked = {"model": "talker", "input": "hello"}
        url = self._victim.child.url + "/v1/responses"
        async with aiohttp.ClientSession(headers=headers) as session:
            while not stop.is_set():
                begun = time.monotonic()
                async with session.post(url, json=asked) as reply:
                    told = await reply.json()
                    if reply.status != 200 or told["output"][0]["content"][0]["text"] != "hello":
                        self.wrong.append(f"who behaves was told {reply.status}: {told}")
                self.seconds.append(time.monotonic() - begun)
                await asyncio.sleep(0.05)
