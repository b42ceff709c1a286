"""The common part of adapters whose framework is played back: nested agents, their calls, and waiting for
people.

A framework keeps its progress in memory, and no framework here can save all of it. So a run continues by
playback: after a crash or a pause the framework starts from the beginning; a model reply that is in the log
is returned to it instead of a request to the model, and a tool result that is in the log instead of a call
of the tool. The framework is deterministic between these two, so it reaches the same state, and nothing
that was finished happens twice. A tool in which another agent worked is called again, and finds that agent
where it was: agents are identified by the call that started them, their name, and their order.

An agent that runs inside another agent's tool is found by a context variable, because the frameworks do not
pass the outer agent. `Scope` names the run, the agent and the call in which the current code executes.

When every agent waits for people, the framework's task is cancelled and the run pauses. `play` is the loop
around this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from tailrace.events import abandoning, ids
from tailrace.events import types as t
from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.events.items import Item, Json
from tailrace.events.pauses import QUESTION
from tailrace.events.request import RunRequest
from tailrace.runtimes.adapters.late_input import LateInput, agents_of_request, late_inputs
from tailrace.runtimes.adapters.reply_recorder import ReplyRecorder
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.decisions import ALL, approval_request, result_without_run
from tailrace.runtimes.node_lifecycle import NODE
from tailrace.runtimes.steps import INTERRUPTED, question_id
from tailrace.runtimes.tools.contract import ToolResult

TURNS = 20
"""Turns of the event loop in which calls of one reply may start before a run counts as stuck."""


class PlaybackTeam:
    """The state that the agents of a run share. `has_client_calls`: the main agent's turn ends with calls for
    the client."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.loop = asyncio.get_running_loop()
        self.main: Member | None = None
        self.agent_ids: set[str] = set()
        self.has_client_calls = False
        self.stopping = False
        self.answers_at_stop = context.answer_count
        self._loose: set[asyncio.Task[Any]] = set()
        self._streams: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[Any] | None = None
        self._settling: asyncio.Task[None] | None = None

    async def follow(self, task: asyncio.Task[Any]) -> None:
        """Wait for the framework's task, and end everything that it left running."""
        self._task = task
        try:
            await asyncio.wait([task])
        finally:
            self.stopping = True
            left = [each for each in (task, self._settling, *self._streams) if each is not None]
            for each in left:
                each.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            if self._loose:
                await asyncio.wait(self._loose)

    def wait_for(self, task: asyncio.Task[Any], *, stream: bool = False) -> None:
        """Let the run wait for this task. The framework cancels it, unless it is a `stream`."""
        tasks = self._streams if stream else self._loose
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def stop(self) -> None:
        """Stop the framework: only a person can continue the run."""
        self.stopping = True
        self.answers_at_stop = self.context.answer_count
        if self._task is not None:
            self._task.cancel()

    def check(self) -> None:
        """Pause the run if every agent waits for people. To be called when something ended or began to
        wait."""
        if self._settling is None and self._is_stuck():
            self._settling = asyncio.create_task(self._settle())

    def emit(self, drafts: Sequence[t.Draft]) -> None:
        """Emit for an agent. Raises `CancelledError` in code that continues although the run has stopped."""
        if self.stopping:
            raise asyncio.CancelledError
        self.context.emit(drafts)

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._settling = None
        if self._is_stuck() and not self.stopping:
            self.stop()

    def _is_stuck(self) -> bool:
        return self.main is not None and self.main.is_stuck()


class Member:
    """An agent of the framework, under its invocation's `id`."""

    def __init__(self, scope: Scope, name: str, kind: t.AgentKind = "subagent") -> None:
        self.team = scope.team
        self.context = scope.team.context
        self.state = self.context.state
        self.name = name
        self._scope = scope
        self.id = _place(scope, name, kind)
        self._logged_replies = self.state.replies.get(self.id, 0)
        self._played_replies = 0
        self._waiting_calls: list[tuple[int, ...]] = []
        self._inside: dict[int | None, set[Member]] = {}

    @property
    def is_main(self) -> bool:
        """Whether it answers the request."""
        return self.id == t.MAIN

    def emit(self, payload: t.Payload) -> None:
        """Emit for this agent."""
        self.team.emit([t.Draft(payload, NODE, self.id)])

    def reply_recorder(self) -> ReplyRecorder:
        """The recorder of this agent's next reply."""
        return ReplyRecorder(self.state, self.id, self.team.emit)

    # replies

    async def next_reply(self) -> tuple[Item, ...] | None:
        """The content of the next reply if the log has it; None if the model must be called.

        Does not return if the turn has ended with calls for the client.
        """
        await self.stop_before_client_calls()
        if self.caught_up:
            return None
        self._played_replies += 1
        return tuple(
            item.content
            for item in self.state.items
            if item.agent == self.id
            and item.reply == self._played_replies
            and item.content is not None
            if item.status == "completed"
        )

    @property
    def caught_up(self) -> bool:
        """Whether all replies in the log were played back."""
        return self._played_replies == self._logged_replies

    def late_inputs(self) -> list[LateInput]:
        """The messages that came with people's answers; none for an agent that a call started."""
        agents = agents_of_request(self.state)
        return late_inputs(self.state, agents) if self.id in agents else []

    async def stop_before_client_calls(self) -> None:
        """Does not return when the turn has ended with calls for the client."""
        if self.team.has_client_calls and self.is_main:
            self.team.stop()
            await asyncio.Event().wait()  # until the stop arrives

    def give_up_reply(self) -> None:
        """The reply was interrupted: end its open items as incomplete."""
        self.team.emit(self.state.close_items(self.id))

    # calls

    def call(self, call_id: str) -> int | None:
        """The item of a call, or None if no reply contains it.

        Models repeat their ids. So a call of the reply that is being played back, or of the last one, is
        preferred to others; a call of a reply that a crash interrupted is never returned.
        """
        last = self.state.replies.get(self.id, 0) if self.caught_up else self._played_replies
        mine = [
            (item.reply in (0, last), number)
            for number, item in enumerate(self.state.items)
            if item.agent == self.id and item.started.call_id == call_id and not item.abandoned
        ]
        return max(mine)[1] if mine else None

    def complete(self, number: int, text: str, *, is_error: bool = False) -> None:
        """Log a call's result, unless the log has it."""
        if self.state.items[number].tool in PENDING_TOOL:
            cut = ToolResult(text).cut()
            self.emit(t.ToolCompleted(number, cut.output, is_error))

    async def begin(self, number: int, *, repeat: bool) -> bool:
        """Log that a tool starts. False for a call that a crash interrupted and that must not be repeated.

        A call in which an agent worked is always repeated, because that agent continues where it was.
        """
        phase = self.state.items[number].tool
        if phase == "interrupted" and not repeat and number not in self.state.dispatches:
            self.complete(number, INTERRUPTED, is_error=True)
            return False
        if phase != "running":
            arguments = self.state.items[number].edited_arguments
            self.emit(t.ToolStarted(number, f"{self.context.run}:{number}", arguments))
            await self.context.flush()
        return True

    # people

    def ask_approval(
        self, number: int, arguments: str, schema: Json, decisions: tuple[t.Decision, ...] = ALL
    ) -> None:
        """Request a person's decision about a call, once. `schema` is that of its arguments."""
        item = self.state.items[number]
        if item.tool in ("called", "running") and item.approval is None:
            message = f"Run {item.started.name}({arguments})?"
            self.emit(approval_request(number, message, schema, decisions))

    def ask(self, name: str, message: str, schema: Json = None, number: int | None = None) -> None:
        """Put question `name` to a person, once; call `number` asks it, if any."""
        if name not in self.state.asks:
            call_id = ids.item_id(QUESTION, self.context.run, len(self.state.questions))
            self.emit(t.InputRequested(name, message, schema, number, call_id))

    async def wait_for_answers(self, numbers: Iterable[int]) -> None:
        """Wait until every question about these calls is answered."""
        group = tuple(numbers)
        self._waiting_calls.append(group)
        try:
            while any(self._waits_for_answer(number) for number in group):
                answer_count = self.context.answer_count
                self.team.check()
                await self.context.news(answer_count)
        finally:
            self._waiting_calls.remove(group)

    def complete_without_run(self, number: int) -> ToolResult | None:
        """The result of a call that a person refused or answered, which completes it; None if it may run."""
        result = result_without_run(self.state.items[number])
        if result is not None:
            self.complete(number, result.output, is_error=result.is_error)
        return result

    def _waits_for_answer(self, number: int) -> bool:
        item = self.state.items[number]
        return item.tool in ASKED_TOOL or self.state.asks.get(question_id(number)) == "asked"

    # agents inside

    def inside(self, number: int) -> tuple[Member, ...]:
        """The agents that work in a call."""
        return tuple(self._inside.get(number, ()))

    def is_stuck(self) -> bool:
        """Whether this agent, and the agents inside it, can only wait for people."""
        calls = [
            any(self._waits_for_answer(number) for number in group) for group in self._waiting_calls
        ]
        inside = [
            bool(members) and all(member.is_stuck() for member in members)
            for members in self._inside.values()
        ]
        return bool(calls or inside) and all(calls) and all(inside)

    @contextmanager
    def executing(self, number: int) -> Generator[None]:
        """The tool of call `number` executes; agents that start inside the block belong to it."""
        self._inside[number] = set()
        token = SCOPE.set(Scope(self.team, self, number))
        try:
            yield
        finally:
            SCOPE.reset(token)
            self._inside.pop(number, None)
            self.team.check()

    @contextmanager
    def working(self) -> Generator[None]:
        """The agent works inside the block; its end is logged."""
        token = self.start()
        status: t.Ending = "failed"
        try:
            yield
            status = "completed"
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        finally:
            SCOPE.reset(token)
            self.end(status)

    def start(self) -> Any:
        """Start the agent in a scope of its own; returns the token that ends the scope."""
        outside = self._scope.member
        if outside is None:
            self.team.main = self
        else:
            outside._inside.setdefault(self._scope.call, set()).add(self)
        return SCOPE.set(Scope(self.team, self, None))

    def end(self, status: t.Ending | None) -> None:
        """The agent has ended, or stops until it continues later (None). The end of the main agent is the
        run's."""
        outside, call = self._scope.member, self._scope.call
        if outside is not None:
            members = outside._inside.get(call, set())
            members.discard(self)
            if call is None and not members:
                outside._inside.pop(None, None)
        if self.team.stopping or self.is_main or status is None:
            return
        if self.state.agents[self.id] == "open":
            self.team.emit(abandoning.reply(self.state, NODE, self.id))
            self.team.emit(self.state.close_items(self.id))
            self.emit(t.AgentCompleted(status))
        self.team.check()


class Scope(NamedTuple):
    """The place where code executes: its run, its agent, its call."""

    team: PlaybackTeam
    member: Member | None
    call: int | None

    @property
    def is_here(self) -> bool:
        """Whether this code may emit: a thread of its own may not."""
        try:
            return asyncio.get_running_loop() is self.team.loop
        except RuntimeError:
            return False


SCOPE: ContextVar[Scope | None] = ContextVar("tailrace_scope", default=None)


def scope() -> Scope | None:
    """The scope in which an agent starts, None outside our runs."""
    place = SCOPE.get()
    return place if place is not None and place.is_here else None


def _place(scope: Scope, name: str, kind: t.AgentKind) -> str:
    """The id of the agent that starts here: a new one, or that of an earlier attempt."""
    team, outside = scope.team, scope.member
    state = team.context.state
    if outside is None:
        return t.MAIN
    elsewhere = {id for ids in state.dispatches.values() for id in ids}
    here = set(state.dispatches.get(scope.call, ())) if scope.call is not None else set[str]()
    for entry in state.registry:
        at_place = entry.id in here if scope.call is not None else entry.id not in elsewhere
        free = at_place and entry.id not in team.agent_ids
        if free and entry.parent == outside.id and entry.name == name:
            team.agent_ids.add(entry.id)
            return entry.id
    id = state.invocation(name)
    team.agent_ids.add(id)
    team.emit([t.Draft(t.AgentStarted(name, kind, outside.id, scope.call), NODE, id)])
    return id


async def play(
    context: RunContext,
    work: Callable[[RunRequest], Coroutine[Any, Any, None]],
    failure: Callable[[BaseException], BaseException],
) -> bool:
    """Run a framework's work until it is done; False if only a person can continue it.

    `failure` translates an exception of the framework.
    """
    while True:
        team = PlaybackTeam(context)
        token = SCOPE.set(Scope(team, None, None))
        try:
            task = asyncio.create_task(work(context.request))
        finally:
            SCOPE.reset(token)
        await team.follow(task)
        if not task.cancelled():
            if error := task.exception():
                raise failure(error) from error
            return True
        if team.has_client_calls:
            return True
        if context.answer_count == team.answers_at_stop:
            return False
