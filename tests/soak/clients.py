"""Clients of the cluster: they start, answer and read runs, and return when a connection breaks. A reader
keeps the frames that it has and requests what follows from any server, with the cursor of its protocol.
Replies that no client may get (a 500, a refusal of something that exists) are kept in `Traffic.wrong`."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from tests.support.servers import ChildServer

AGAIN_SECONDS = 0.2
SILENT_SECONDS = 10.0
"""A stream sends at least a heartbeat each second, whatever happens to the engine."""
SURFACES = ("native", "responses", "session", "chat", "messages")
POSITION = b'"sequenceNumber":'
GONE = (aiohttp.ClientError, TimeoutError, OSError)


class Traffic:
    """Requests to any server that answers, and a count of the replies."""

    def __init__(self, servers: Sequence[ChildServer], chance: random.Random) -> None:
        self.servers = servers
        self.chance = chance
        self.said: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.asking: Counter[str] = Counter()
        """Requests without an answer so far."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENT_SECONDS)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout
        )

    def server(self, but: ChildServer | None = None) -> ChildServer:
        """Any server; if there are several, not the server `but`."""
        others = [each for each in self.servers if each is not but]
        return self.chance.choice(others or list(self.servers))

    async def ask(self, method: str, path: str, fine: Sequence[int], **more: Any) -> Any:
        """A request that is sent until it gets a reply: its status and JSON."""
        self.asking[path] += 1
        answer = await self._answer(method, path, fine, **more)
        self.asking[path] -= 1
        return answer

    async def _answer(self, method: str, path: str, fine: Sequence[int], **more: Any) -> Any:
        while True:
            try:
                url = self.server().url + path
                timeout = aiohttp.ClientTimeout(total=60)
                async with self.session.request(method, url, timeout=timeout, **more) as reply:
                    if self.heard(reply, f"{method} {path}", fine):
                        return reply.status, await reply.json(content_type=None)
            except GONE as error:
                self.said[type(error).__name__] += 1
            await self.pause()

    def heard(self, reply: aiohttp.ClientResponse, what: str, fine: Sequence[int]) -> bool:
        """Whether the reply has an expected status; any other must be a 503 with `retry-after`."""
        self.said[str(reply.status)] += 1
        if reply.status in fine:
            return True
        if reply.status != 503 or "retry-after" not in reply.headers:
            self.wrong.append(f"{what}: {reply.status}")
        return False

    async def pause(self) -> None:
        """Wait before the next try."""
        await asyncio.sleep(AGAIN_SECONDS * (0.5 + self.chance.random()))


class Reader:
    """One client of one run on one surface."""

    def __init__(self, traffic: Traffic, run: str, surface: str) -> None:
        self.run = run
        self.surface = surface
        self.frames: list[bytes] = []
        self.checked = 0
        self.connections = 0
        self.pings = 0
        self.reading = self.done = False
        self.last: ChildServer | None = None
        self._traffic = traffic

    async def follow(self, heard: Callable[[bytes], None] = lambda _: None) -> None:
        """Read to the end of the stream, however often it breaks; `heard` receives each frame."""
        while not self.done:
            try:
                await self._once(heard)
            except GONE as error:
                self._traffic.said[f"cut: {type(error).__name__}"] += 1
            if not self.done:
                await self._traffic.pause()

    async def _once(self, heard: Callable[[bytes], None]) -> None:
        server = self.last = self._traffic.server(self.last if self.connections else None)
        path, headers = self._question()
        async with self._traffic.session.get(server.url + path, headers=headers) as reply:
            if not self._traffic.heard(reply, f"GET {path}", (200,)):
                return
            await self.read(reply, heard)

    async def read(
        self, reply: aiohttp.ClientResponse, heard: Callable[[bytes], None] = lambda _: None
    ) -> None:
        """Read one stream to its end. Raises what `heard` raises."""
        self.connections += 1
        rest = b""
        self.reading = True
        try:
            async for piece in reply.content.iter_any():
                rest = self._take(rest + piece, heard)
        except TimeoutError:
            self._traffic.wrong.append(f"{self.run}: silent for {SILENT_SECONDS} s")
            raise
        finally:
            self.reading = False
        self.done = True

    def _question(self) -> tuple[str, dict[str, str]]:
        number = self._position()
        job = f"/jobs/job_{self.run}/stream"
        if self.surface == "responses":
            cursor = f"starting_after={number}" if self.frames else "stream=true"
            return f"/v1/responses/resp_{self.run}?{cursor}", {}
        if self.surface == "native":
            return job, {"last-event-id": str(number)} if self.frames else {}
        after = f"&after={number}" if self.frames else ""
        return f"{job}?as={self.surface}{after}", {}

    def _position(self) -> int:
        """The number of the last frame; a UI message stream contains it, after each part."""
        if self.surface != "ui":
            return len(self.frames) - 1
        while self.frames and POSITION not in self.frames[-1]:
            self.frames.pop()
        return int(self.frames[-1].partition(POSITION)[2].split(b",")[0]) if self.frames else -1

    def _take(self, data: bytes, heard: Callable[[bytes], None]) -> bytes:
        """Complete frames; returns the incomplete rest."""
        end = b"\n" if self.surface == "session" else b"\n\n"
        *whole, rest = data.split(end)
        for each in whole:
            kept = b"\n".join(ln for ln in each.split(b"\n") if ln and not ln.startswith(b":"))
            self.pings += kept != each or not kept
            if kept:
                self.frames.append(kept + end)
                heard(kept)
        while rest.startswith(b": ping\n"):  # a heartbeat has no blank line after it
            self.pings += 1
            rest = rest[7:]
        return rest


class Run:
    """One run: its acknowledged data, and its readers."""

    def __init__(self, id: str, agent: str, text: str) -> None:
        self.id = id
        self.agent = agent
        self.text = text
        self.answers = 0
        self.readers: list[Reader] = []


AGENTS = {"walker": "walk", "lead": "send two", "asker": "ask me"}


class Customer:
    """Starts one run after the other, answers it, reads it twice; `over` receives each run that ended."""

    def __init__(self, traffic: Traffic, number: int, over: Callable[[Run], Any]) -> None:
        self._traffic = traffic
        self._number = number
        self._over = over
        self.runs: list[Run] = []
        self.now: Run | None = None

    async def go_on(self, stop: asyncio.Event) -> None:
        """Run until `stop`, and then to the end of the run."""
        while not stop.is_set():
            run = self.now = await self._start()
            self.runs.append(run)
            await asyncio.gather(*(self._read(run, reader) for reader in run.readers))
            await self._over(run)
            self.now = None

    async def _start(self) -> Run:
        chance = self._traffic.chance
        agent = chance.choices(list(AGENTS), (2, 1, 1))[0]
        text = f"{AGENTS[agent]} {self._number}.{len(self.runs)}"
        body = {"agent": agent, "input": text}
        key = {"idempotency-key": text}
        _, job = await self._traffic.ask("POST", "/jobs", (202,), json=body, headers=key)
        run = Run(job["id"].removeprefix("job_"), agent, text)
        surfaces = ["native", chance.choice(SURFACES[1:])]
        run.readers = [Reader(self._traffic, run.id, surface) for surface in surfaces]
        return run

    async def _read(self, run: Run, reader: Reader) -> None:
        answering: set[asyncio.Task[None]] = set()

        def heard(frame: bytes) -> None:
            if reader is run.readers[0] and b'"type":"run.waiting"' in frame:
                answering.add(asyncio.create_task(self._answer(run)))

        await reader.follow(heard)
        await asyncio.gather(*answering)

    async def _answer(self, run: Run) -> None:
        await asyncio.sleep(self._traffic.chance.uniform(0.2, 3.0))
        job = f"/jobs/job_{run.id}"
        while True:
            _, about = await self._traffic.ask("GET", job, (200,))
            if about["waiting_for"] or about["status"] not in ("in_progress", "waiting"):
                break
            # An older state: the NATS server does not know yet that it is no longer the leader.
            self._traffic.said["an older state"] += 1
            await self._traffic.pause()
        for asked in about["waiting_for"]:
            if asked["kind"] == "approval":
                answer = {"item": asked["item"], "asked": asked["asked"], "approved": True}
            else:
                answer = {"request_id": asked["request_id"], "value": "yes"}
            path = f"{job}/input"
            status, _ = await self._traffic.ask("POST", path, (202, 409), json=answer)
            run.answers += status == 202
            self._traffic.said["answered before"] += status == 409
