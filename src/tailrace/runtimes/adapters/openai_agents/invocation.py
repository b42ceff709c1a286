"""One run of an OpenAI Agents SDK agent inside a run of ours: its replies, its tools, and its handoffs.

An agent that hands the conversation over is followed by another one in the same run of the SDK. That one is
an invocation of its own, started by the handoff's call. Its answer is the first one's answer, so it has the
same role, and the result of the call is its final output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from agents import Agent, Tool
from agents.items import TResponseInputItem, TResponseOutputItem

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.events.history import made_by
from tailrace.events.items import Item, Json, ProviderItem, ToolCall
from tailrace.runtimes.adapters.late_input import LateInput, late_inputs
from tailrace.runtimes.adapters.openai_agents.items import output_of, output_text, result_text
from tailrace.runtimes.adapters.openai_agents.reply import CALLS, OpenAIAgentsReply
from tailrace.runtimes.adapters.playback import SCOPE, Member, Scope
from tailrace.runtimes.decisions import with_note
from tailrace.runtimes.invocation import last_text
from tailrace.runtimes.steps import INTERRUPTED
from tailrace.runtimes.tools.contract import ToolResult, tool_failure

LOCAL = frozenset({"computer_call", "shell_call", "local_shell_call", "apply_patch_call"})
"""Calls that the SDK executes itself and that we cannot observe, unless the reply has their output too."""

Work = Callable[[str], Awaitable[tuple[Any, bool]]]
"""Calls a tool with arguments; returns its result, and whether that reports a failure."""


class OpenAIAgentsInvocation(Member):
    """An agent of the SDK at work. Tools named in `retry` may be called again after a crash.

    `before` handed the conversation over to it. `answers_client` says whether its answer is the run's.
    """

    answers_client: bool

    def __init__(
        self,
        scope: Scope,
        agent: Agent[Any],
        retry: Collection[str],
        before: OpenAIAgentsInvocation | None = None,
    ) -> None:
        self.answers_client = before.answers_client if before else scope.member is None
        super().__init__(scope, agent.name, "main" if self.answers_client else "subagent")
        self.agent = agent
        self.retry = retry
        self.stream: asyncio.Task[Any] | None = None
        self._tools: Mapping[str, Tool] = {}
        self._before = before
        self._has_failed: dict[int, bool] = {}
        self._handoff_call: int | None = None
        self._successor: tuple[int, OpenAIAgentsInvocation] | None = None

    @property
    def at_work(self) -> OpenAIAgentsInvocation:
        """The agent that works now: this one, or the one to which it handed the conversation over."""
        return self if self._successor is None else self._successor[1].at_work

    @property
    def has_replied(self) -> bool:
        """Whether it has given a reply, or took over from an agent that has."""
        return bool(self.state.replies.get(self.id)) or self._before is not None

    def late_inputs(self) -> list[LateInput]:
        """As `Member.late_inputs`: an agent that took over gets the messages for those before it."""
        agents = {self.id}
        before = self._before
        while before is not None:
            agents.add(before.id)
            before = before._before
        return late_inputs(self.state, agents)

    async def room(self) -> None:
        """Let the log catch up."""
        await self.context.room()

    # turns

    async def turn(self, agent: Agent[Any], tools: Sequence[Tool]) -> OpenAIAgentsInvocation:
        """A turn of `agent` starts, with these tools; returns its invocation."""
        now = self.at_work
        if now._handoff_call is not None:
            now = await now._hand_over(now._handoff_call, agent)
        now._tools = {tool.name: tool for tool in tools}
        return now

    async def before_reply(
        self, input: str | list[TResponseInputItem], handoffs: Collection[str]
    ) -> list[TResponseOutputItem] | None:
        """Called before a model call: the reply, if the log has it."""
        if self._before is not None:
            self._before.catch_up(input)
        self.catch_up(input)
        if self.is_main and self.caught_up:
            mine = (item.tool for item in self.state.items if item.agent == self.id)
            self.team.has_client_calls = "handed" in mine
        items = await self.next_reply()
        if items is None:
            return None
        _check_repeatable(items)
        calls = [item for item in items if isinstance(item, ToolCall)]
        self._handoff_call = self._first([(call.name, call.call_id) for call in calls], handoffs)
        return output_of(items)

    @contextmanager
    def reply(self, handoffs: Collection[str]) -> Generator[OpenAIAgentsReply]:
        """Record a reply."""
        client_tools = self.context.request.settings.tools if self.is_main else ()
        theirs = {tool.name for tool in client_tools}
        reply = OpenAIAgentsReply(
            self.reply_recorder(), label=self.name, tools=self._tools, theirs=theirs
        )
        try:
            yield reply
        except Exception:
            self.give_up_reply()
            raise
        calls: list[Any] = [item for item in reply.output if item.type in CALLS]
        self._handoff_call = self._first([(call.name, call.call_id) for call in calls], handoffs)

    def catch_up(self, input: str | list[TResponseInputItem]) -> None:
        """Log results that are known only now: a guardrail's text in place of a tool's, too many handoffs."""
        left = {
            item.started.call_id: number
            for number, item in enumerate(self.state.items)
            if item.agent == self.id and item.tool in PENDING_TOOL
            if number not in self.state.dispatches
        }
        items = cast("list[dict[str, Any]]", input if left and not isinstance(input, str) else [])
        for item in reversed(items):
            number = left.pop(item.get("call_id", ""), None) if "output" in item else None
            if number is not None:
                failed = self._has_failed.get(number, True)
                self.complete(number, output_text(item["output"]), is_error=failed)

    # handoffs

    def _first(self, calls: Sequence[tuple[str, str]], handoffs: Collection[str]) -> int | None:
        """The call that hands the conversation over: of several, the SDK takes the first."""
        ids = [call_id for name, call_id in calls if name in handoffs]
        return self.call(ids[0]) if ids else None

    async def _hand_over(self, number: int, agent: Agent[Any]) -> OpenAIAgentsInvocation:
        self._handoff_call = None
        if self.state.items[number].tool != "done":
            await self.begin(number, repeat=True)
        child = OpenAIAgentsInvocation(Scope(self.team, self, number), agent, self.retry, self)
        SCOPE.reset(child.start())  # the run knows it by its place, not by the code that runs
        self._successor = (number, child)
        return child

    def end(self, status: t.Ending | None) -> None:
        """The agent has ended, and with it the agents to which it handed the conversation over."""
        if self._successor is not None:
            number, child = self._successor
            answer = last_text(made_by(self.state, child.at_work.id))
            child.end(status)
            if status is not None and not self.team.stopping:
                failed = status != "completed"
                text = "The agent failed." if failed else answer
                self.complete(number, text, is_error=failed)
        super().end(status)

    # tools

    async def execute(
        self,
        call_id: str,
        arguments: str,
        needs_approval: Callable[[], Awaitable[bool]],
        work: Work,
        *,
        schema: Json = None,
        has_guardrails: bool = False,
    ) -> Any:
        """Execute a tool, or return the result in the log. `schema` is that of its arguments. With
        `has_guardrails` the result is logged after its guardrails have checked it."""
        number = self.call(call_id)
        if number is None:  # a program of the model server calls tools
            return (await work(arguments))[0]
        item = self.state.items[number]
        if item.output is not None:
            return item.output.output
        if item.started.runs_on == "client":
            return ""  # the turn ends before the model reads this
        if task := asyncio.current_task():
            self.team.wait_for(task)
        if result := await self._ask_person(number, arguments, schema, needs_approval):
            return result.output
        if not await self.begin(number, repeat=item.started.name in self.retry):
            return INTERRUPTED
        with self.executing(number):
            if item.edited_arguments is not None:
                arguments = item.edited_arguments
            return await self._run_tool(number, partial(work, arguments), has_guardrails)

    async def _ask_person(
        self,
        number: int,
        arguments: str,
        schema: Json,
        needs_approval: Callable[[], Awaitable[bool]],
    ) -> ToolResult | None:
        """The result of a call that a person refused or answered, when that is known; None if it may run."""
        item = self.state.items[number]
        if item.tool == "called" and item.approval is None:
            with self.executing(number):
                asks = await needs_approval()
            if asks:
                self.ask_approval(number, arguments, schema)
        if item.tool in ASKED_TOOL:
            await self.wait_for_answers([number])
        return self.complete_without_run(number)

    async def _run_tool(
        self,
        number: int,
        work: Callable[[], Awaitable[tuple[Any, bool]]],
        has_guardrails: bool,  # noqa: FBT001 - passed on
    ) -> Any:
        try:
            result, failed = await work()
        except Exception as error:
            await self._streams(number)
            self.complete(
                number, tool_failure(error, self.state.items[number].started.name), is_error=True
            )
            raise
        await self._streams(number)
        if isinstance(result, str):
            result = with_note(self.state.items[number], result)
        if has_guardrails:
            self._has_failed[number] = failed
        else:
            self.complete(number, result_text(result), is_error=failed)
        return result

    async def _streams(self, number: int) -> None:
        """Wait for agents that the tool ran as streams and may not have awaited."""
        inside = [
            member for member in self.inside(number) if isinstance(member, OpenAIAgentsInvocation)
        ]
        streams = [member.stream for member in inside if member.stream is not None]
        if streams:
            await asyncio.wait(streams)

    def follow(self, stream: asyncio.Task[Any]) -> None:
        """This agent's run is a stream: it ends when its task does."""
        self.stream = stream
        self.team.wait_for(stream, stream=True)
        stream.add_done_callback(self._on_stream_end)

    def _on_stream_end(self, stream: asyncio.Task[Any]) -> None:
        if stream.cancelled():
            self.end("cancelled")
        else:
            self.end("completed" if stream.exception() is None else "failed")


def _check_repeatable(items: Sequence[Item]) -> None:
    """Raises `ModelFailed` if playing a reply back would repeat an effect."""
    kinds = {str(item.data.get("type")) for item in items if isinstance(item, ProviderItem)}
    unseen = [kind for kind in kinds & LOCAL if f"{kind}_output" not in kinds]
    if unseen:
        raise ModelFailed(
            f"The run cannot continue: the result of its {unseen[0]} is not in the log."
        )
