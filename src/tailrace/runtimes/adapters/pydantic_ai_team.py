"""The agents at work in one run of ours, and whether anything is left to do but wait.

An agent that runs inside another one's tool is found by a context variable: the framework has no word
for it. `Scope` says inside whose run, and inside which of its tool calls, the current code runs.

When all that is left waits for people, the framework's task is cancelled and the run pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tailrace.events import types as t
from tailrace.runtimes.contract import RunContext

TURNS = 20
"""Turns of the event loop that calls of one reply get to begin in before a run counts as stuck."""


class Team:
    """What the agents of a run share. `handed`: the main agent's turn ends with calls for the client."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.loop = asyncio.get_running_loop()
        self.main: Member | None = None
        self.taken: set[str] = set()
        self.handed = False
        self.heard = context.heard
        self._task: asyncio.Task[Any] | None = None
        self._settling: asyncio.Task[None] | None = None
        self.stopping = False

    async def follow(self, task: asyncio.Task[Any]) -> None:
        """Wait for the framework's task; whatever happens, nothing of it is left running."""
        self._task = task
        try:
            await asyncio.wait([task])
        finally:
            self.stopping = True
            left = [each for each in (task, self._settling) if each is not None]
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def stop(self) -> None:
        """Nothing more can be done now."""
        self.stopping = True
        self.heard = self.context.heard
        if self._task is not None:
            self._task.cancel()

    def check(self) -> None:
        """To be called when something ended or began to wait."""
        if self._settling is None and self._stuck():
            self._settling = asyncio.create_task(self._settle())

    def emit(self, drafts: Sequence[t.Draft]) -> None:
        """Emit for an agent; what goes on although it was stopped hears so."""
        if self.stopping:
            raise asyncio.CancelledError
        self.context.emit(drafts)

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._settling = None
        if self._stuck() and not self.stopping:
            self.stop()

    def _stuck(self) -> bool:
        return self.main is not None and self.main.stuck()


class Member:
    """An agent at work: which of its tools run, and which agents work inside them."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self._inside: dict[int | None, set[Member]] = {}

    @property
    def waiting(self) -> bool:
        """Whether it waits for people."""
        return False

    def stuck(self) -> bool:
        """Whether nothing happens here before a person answers."""
        if self.waiting:
            return True
        inside = self._inside.values()
        return bool(inside) and all(
            members and all(member.stuck() for member in members) for members in inside
        )

    @contextmanager
    def executing(self, call: int) -> Generator[None]:
        """A tool runs; agents that begin meanwhile belong to it."""
        self._inside[call] = set()
        token = SCOPE.set(Scope(self.team, self, call))
        try:
            yield
        finally:
            SCOPE.reset(token)
            self._inside.pop(call, None)
            self.team.check()

    @contextmanager
    def working(self, scope: Scope) -> Generator[None]:
        """This agent works, at the place that `scope` names."""
        outside = scope.member
        if outside is None:
            self.team.main = self
        else:
            outside._inside.setdefault(scope.call, set()).add(self)
        token = SCOPE.set(Scope(self.team, self, None))
        try:
            yield
        finally:
            SCOPE.reset(token)
            if outside is not None:
                outside._left(self, scope.call)
            self.team.check()

    def _left(self, member: Member, call: int | None) -> None:
        members = self._inside.get(call, set())
        members.discard(member)
        if call is None and not members:
            self._inside.pop(None, None)


class Scope(NamedTuple):
    """Where code runs: in which run, whose agent's, in which of its calls."""

    team: Team
    member: Member | None
    call: int | None


SCOPE: ContextVar[Scope | None] = ContextVar("tailrace_pydantic_ai", default=None)
