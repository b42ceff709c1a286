"""One server in this process, and people of several tenants who send it requests, by ids that they know and
guess. A `World` is one server with its people. It plays a program: steps of requests, at most one for each
person, those of a step at the same time. What people guess of others is kept with the reply, so that the
same can be requested in a world without the others."""

from __future__ import annotations

import asyncio
import re
import time
from asyncio import timeout
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec import Struct

from tailrace import config
from tailrace.assembly import instance as assembly
from tailrace.auth.tokens import Token
from tests.support.tenant_requests import ID, REQUESTS, Asker, Request, suffix

SECONDS = 60
TURNS = 60
"""Turns of the event loop without a run at work or a byte sent, after which nothing more happens without a
request."""

CONFIG = """
[models.echo]
dialect = "echo"

[models.script]
dialect = "script"
scenario = "scenario.toml"

[agents.asker]
id = 7
model = "script"
ask_user = true
tools = ["tests.support.tenant_requests:order"]
approve = ["order"]
"""
SCENARIO = """
[[replies]]
steps = [{ call = "order", arguments = { what = "hat" } }]
[[replies]]
steps = [{ call = "ask_user", arguments = { question = "Which colour?" } }]
[[replies]]
steps = [{ text = "It is ordered." }]
"""
LIMITS = """
[limits.token]
requests_per_minute = 9
[limits.tenant]
tokens_per_day = 30
"""


class Person(Struct, frozen=True):
    """A person with a token, and a word that is in all texts of that person."""

    tenant: str
    user: str
    marker: str


PEOPLE = (
    Person("jade-co", "ann-in", "OPAL7QZ"),
    Person("jade-co", "bob-in", "ONYX4WX"),
    Person("ruby-co", "ann-in", "RUBY9KV"),
)


class Answered(Struct, frozen=True):
    """A person's request, and its result."""

    request: Request
    guessed: tuple[str, ...]
    status: int
    head: tuple[tuple[str, str], ...]
    body: str

    @property
    def text(self) -> str:
        """Everything that the client could see."""
        return "\n".join([*(value for _, value in self.head), self.body])


Step = Mapping[int, tuple[int, Sequence[int]]]
"""The requests and their senders, by places in `PEOPLE` and `REQUESTS`, and the choices that are left."""


class Clock:
    """A clock that shows each millisecond once: an object that began earlier has the lesser id."""

    def __init__(self) -> None:
        self._now = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        self._now += 1
        return self._now


class World:
    """A server, and the replies that each person has received."""

    def __init__(self, folder: Path, people: Sequence[int], limits: str = "") -> None:
        (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
        self._config = config.parse(CONFIG + limits, "world.toml", folder)
        with patch.object(assembly, "clock", Clock()):
            self._instance = assembly.assemble(self._config, assembly.memory_store())
        self._app = assembly.application(self._config, self._instance)
        self._people = people
        self._keys: dict[int, str] = {}
        self.secrets: dict[int, set[str]] = {}
        self.replies: dict[int, list[Answered]] = {who: [] for who in people}
        self._askers: dict[int, Asker] = {}
        self._staying: list[tuple[int, int, Call, asyncio.Task[None]]] = []

    async def play(
        self, program: Sequence[Step], guessed: Mapping[int, Sequence[Answered]] | None = None
    ) -> None:
        """Send all requests; with `guessed`, people guess the ids that they guessed there."""
        async with timeout(SECONDS), self._app.router.lifespan_context(self._app):
            for who in self._people:
                await self._admit(who)
            for step in program:
                await self._step(step, guessed)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            for who, place, call, task in self._staying:
                call.leave.set()
                await task
                reply = self.replies[who][place]
                self.replies[who][place] = msgspec.structs.replace(reply, body=call.body.decode())

    def sent(self, who: int) -> set[str]:
        """What a person guessed of others: it may come back to that person."""
        return self._askers[who].sent

    def foreign_to(self, who: int) -> set[str]:
        """What a person must never see: an id belongs to the person who received it first. A tenant and a
        user's name that two people share are no secret."""
        mine = PEOPLE[who]
        found = set[str]()
        for other in self._people:
            if other != who:
                person = PEOPLE[other]
                found |= self.secrets[other] | {person.tenant, person.user}
        return found - {mine.tenant, mine.user}

    async def _admit(self, who: int) -> None:
        person = PEOPLE[who]
        token = Token(
            id="", name=person.marker, tenant=person.tenant, user=person.user, scopes=("run",)
        )
        tokens = self._instance.edge.gate.tokens
        self._keys[who] = await tokens.create(token)
        made = await tokens.find(self._keys[who])
        assert made is not None
        self.secrets[who] = {self._keys[who], made.id, person.marker}
        self._askers[who] = Asker(person.marker)

    async def _step(self, step: Step, guessed: Mapping[int, Sequence[Answered]] | None) -> None:
        asking: dict[int, asyncio.Task[Answered]] = {}
        for who, (what, choices) in step.items():
            if who not in self._keys:
                continue
            asker = self._askers[who]
            others = [
                id for other in self._askers for id in self._askers[other].known if other != who
            ]
            same = guessed[who][len(self.replies[who])].guessed if guessed else None
            asker.begin(choices, others, same)
            request = REQUESTS[what](asker)
            asking[who] = asyncio.create_task(self._ask(who, request, asker))
        for who, task in asking.items():
            reply = await task
            self.replies[who].append(reply)
            self._askers[who].learn(reply.text)
            new = {suffix(id) for id in self._askers[who].known}
            self.secrets[who] |= new.difference(*self.secrets.values())
        while self._instance.service.runs.supervisor.live():
            await asyncio.sleep(0)

    async def _ask(self, who: int, request: Request, asker: Asker) -> Answered:
        guessed = tuple(asker.guessed)
        head = {"authorization": f"Bearer {self._keys[who]}", **request.headers}
        call = Call(request, head)
        task = asyncio.create_task(self._app(call.scope, call.receive, call.send))
        quiet = 0
        while not task.done():
            quiet = 0 if self._instance.service.runs.supervisor.live() or call.news() else quiet + 1
            if quiet > TURNS and request.stays:
                self._staying.append((who, len(self.replies[who]), call, task))
                break
            if quiet > TURNS:
                call.leave.set()
            await asyncio.sleep(0)
        else:
            await task
        return Answered(request, guessed, call.status, tuple(call.head), call.body.decode())


class Call:
    """One request as an ASGI application sees it."""

    def __init__(self, request: Request, head: Mapping[str, str]) -> None:
        path, _, query = request.path.partition("?")
        self.leave = asyncio.Event()
        self.status, self.body = 0, b""
        self.head: list[tuple[str, str]] = []
        self._asked = False
        self._seen = -1
        self._sent = b"" if request.body is None else msgspec.json.encode(request.body)
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in head.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "root_path": "",
        }

    def news(self) -> bool:
        """Whether anything arrived since the last call."""
        seen, self._seen = self._seen, len(self.body)
        return seen != self._seen

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._sent, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.head = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            self.body += message.get("body", b"")


def leaked(reply: Answered, sent: set[str], foreign: set[str]) -> set[str]:
    """The secrets of others in a reply, except those that the client sent itself."""
    text = reply.text
    for said in sent:
        text = text.replace(said, "")
    return {each for each in foreign if each and each in text}


TIMES = re.compile(r"\b\d{10,16}\b|(?<=in )\d+(\.\d+)?(?= s)")
OWN = re.compile(r"\b(req|tok)_\w+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")
LENGTHS = ("retry-after", "retry-after-ms", "content-length")


def comparable(replies: Sequence[Answered], sent: set[str]) -> list[tuple[object, ...]]:
    """Replies with the person's ids numbered in order, and without times."""
    names: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        id = found[0]
        if suffix(id) in sent:
            return id
        return id.replace(suffix(id), names.setdefault(suffix(id), f"<{len(names)}>"))

    def plain(text: str) -> str:
        return TIMES.sub("T", OWN.sub("R", ID.sub(named, text)))

    made: list[tuple[object, ...]] = []
    for reply in replies:
        head = [(name, plain(value)) for name, value in reply.head if name not in LENGTHS]
        body = "" if reply.request.races and reply.status < 300 else plain(reply.body)
        made.append((reply.request.name, reply.status, head, body))
    return made
