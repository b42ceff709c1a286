"""One run of a Pydantic AI agent inside a run of ours: what it reports, where it waits, how it goes on.

Going on is playing back. The framework starts from the beginning each time, after a crash and after a
pause; a model reply that is in the log is handed to it instead of asking the model, and a tool result that
is in the log instead of calling the tool. So whatever the framework keeps in memory it has again, and
nothing that was finished happens twice. A tool that let another agent work is called again, and finds that
agent where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipToolExecution,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ToolCallPart,
    ToolReturn,
    ToolReturnPart,
)
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    ToolApproved,
    ToolDefinition,
    ToolDenied,
)

from tailrace.events import types as t
from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.runtimes.adapters.pydantic_ai_messages import response
from tailrace.runtimes.adapters.pydantic_ai_reply import Reply
from tailrace.runtimes.adapters.pydantic_ai_team import Member, Team
from tailrace.runtimes.single import NODE
from tailrace.runtimes.steps import INTERRUPTED, question_id
from tailrace.runtimes.tools.contract import ToolResult

NOBODY = "Nobody runs this tool for an agent that was called by another one."
RETRY = "retry"
"""`metadata={"after_crash": "retry"}` on a tool: a call that a crash cut off may be made again."""


class Invocation(Member):
    """An agent at work under the name `id`."""

    def __init__(self, team: Team, id: str, name: str) -> None:
        super().__init__(team)
        self.id = id
        self._name = name
        self._context = team.context
        self._state = team.context.state
        self._recorded = self._state.replies.get(id, 0)
        self._played = 0
        self._asked: tuple[int, ...] = ()

    @property
    def waiting(self) -> bool:
        return any(self._unanswered(number) for number in self._asked)

    async def room(self) -> None:
        """Let the log catch up."""
        await self._context.room()

    # the model

    async def before_reply(self, messages: Sequence[ModelMessage]) -> ModelResponse | None:
        """Called before the model is asked: the reply, where the log has it."""
        self.catch_up(messages)
        if self.team.handed and self.id == t.MAIN:
            self.team.stop()
            await asyncio.Event().wait()  # until the stop arrives
        if self._played == self._recorded:
            return None
        self._played += 1
        items = [
            item.content
            for item in self._state.items
            if item.agent == self.id and item.reply == self._played and item.content is not None
            if item.status == "completed" or item.started.kind != "tool_call"
        ]
        return response(items, replayed=True)

    @contextmanager
    def reply(self, tools: Mapping[str, ToolDefinition]) -> Generator[Reply]:
        """Tell of a reply; one that fails half-way ends as incomplete."""
        try:
            yield Reply(self._state, self.say, tools, self._name, main=self.id == t.MAIN)
        except Exception:
            for draft in self._state.close_items(self.id):
                self.say(draft.payload)
            raise

    def catch_up(self, messages: Sequence[ModelMessage]) -> None:
        """Log the results of calls that never reached a tool: unknown, malformed, skipped."""
        for part in messages[-1].parts if messages else ():
            if isinstance(part, ToolReturnPart):
                number = self._item(part.tool_call_id)
                if number is not None:
                    failed = part.outcome not in ("success", "denied")
                    self._complete(number, part.model_response_str(), is_error=failed)

    # the tools

    async def execute(
        self, call: ToolCallPart, tool: ToolDefinition, work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """A tool's execution, or what the log has instead of it."""
        number = self._item(call.tool_call_id)
        if number is None:  # a call that no reply made: a tool that calls tools
            return await work()
        item = self._state.items[number]
        if item.tool == "done" and item.output is not None:
            if item.output.is_error:
                raise ToolFailed(item.output.output)
            return item.output.output
        if item.tool in ASKED_TOOL:
            raise ApprovalRequired
        if question_id(number) in self._state.asks:
            return self._answer(number)
        if item.tool == "interrupted" and not self._may_repeat(number, tool):
            self._complete(number, INTERRUPTED, is_error=True)
            raise ToolFailed(INTERRUPTED)
        if item.tool != "running":
            self.say(t.ToolStarted(number, f"{self._context.run}:{number}"))
            await self._context.flush()
        with self.executing(number):
            return await self._worked(number, work)

    def _may_repeat(self, number: int, tool: ToolDefinition) -> bool:
        return number in self._state.dispatched or (tool.metadata or {}).get("after_crash") == RETRY

    def _answer(self, number: int) -> Any:
        """What came of a call that its tool put off."""
        name = question_id(number)
        if self._state.asks[name] == "asked":
            raise CallDeferred
        value = self._state.answers[name]
        self._complete(number, _text(value))
        return value

    async def _worked(self, number: int, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = await work()
        except (ApprovalRequired, CallDeferred):
            raise
        except SkipToolExecution as skipped:
            self._complete(number, _text(skipped.result))
            raise
        except (ToolRetryError, ToolFailedError, ToolFailed, ModelRetry) as told:
            self._complete(number, str(told), is_error=True)
            raise
        except Exception as error:
            self._complete(number, f"{type(error).__name__}: {error}"[:2000], is_error=True)
            raise
        self._complete(number, _text(result))
        return result

    def _complete(self, number: int, text: str, *, is_error: bool = False) -> None:
        if self._state.items[number].tool in PENDING_TOOL:
            cut = ToolResult(text).cut()
            self.say(t.ToolCompleted(number, cut.output, is_error))

    # the people

    async def answers(self, requests: DeferredToolRequests) -> DeferredToolResults:
        """What people say to the calls that wait for them. Calls for the client end the turn."""
        calls = [*requests.approvals, *requests.calls]
        numbers = {call.tool_call_id: self._item(call.tool_call_id) for call in calls}
        known = {call_id: number for call_id, number in numbers.items() if number is not None}
        for call in requests.approvals:
            self._ask_approval(known[call.tool_call_id], call)
        for call in requests.calls:
            self._ask_result(known[call.tool_call_id], call, requests)
        self._asked = tuple(known.values())
        while self.waiting:
            heard = self._context.heard
            self.team.check()
            await self._context.news(heard)
        self._asked = ()
        return DeferredToolResults(
            approvals={
                call.tool_call_id: self._approval(known[call.tool_call_id])
                for call in requests.approvals
            },
            calls={
                call.tool_call_id: self._result(known[call.tool_call_id]) for call in requests.calls
            },
        )

    def _ask_approval(self, number: int, call: ToolCallPart) -> None:
        item = self._state.items[number]
        if item.tool in ("called", "running") and item.approval is None:
            message = f"Run {call.tool_name}({call.args_as_json_str()})?"
            self.say(t.ApprovalRequested(number, message))

    def _ask_result(self, number: int, call: ToolCallPart, requests: DeferredToolRequests) -> None:
        """A call whose result comes from outside: the client's, or one that its tool put off."""
        if self._state.items[number].started.runs_on == "client":
            return
        if requests.kind(call.tool_call_id) == "external" and not self._state.items[number].begun:
            self._complete(number, NOBODY, is_error=True)
            return
        name = question_id(number)
        if name not in self._state.asks:
            metadata = requests.metadata.get(call.tool_call_id, {})
            message = f"What is the result of {call.tool_name}({call.args_as_json_str()})?"
            asked = str(metadata.get("message") or message)
            self.say(t.InputRequested(name, asked, metadata.get("schema"), number))

    def _unanswered(self, number: int) -> bool:
        item = self._state.items[number]
        return item.tool in ASKED_TOOL or self._state.asks.get(question_id(number)) == "asked"

    def _approval(self, number: int) -> ToolApproved | ToolDenied:
        approval = self._state.items[number].approval
        if approval is None or approval.approved:
            return ToolApproved()
        why = f": {approval.reason}" if approval.reason else "."
        denied = f"A person refused this call{why}"
        self._complete(number, denied, is_error=True)
        return ToolDenied(denied)

    def _result(self, number: int) -> Any:
        item = self._state.items[number]
        if item.output is not None:
            if item.output.is_error:
                return ToolFailed(item.output.output)
            return ToolReturn(item.output.output)
        if item.started.runs_on == "client":
            self.team.handed = True  # the turn ends before anybody reads this
            return ToolReturn(None)
        return ToolReturn(self._answer(number))

    def _item(self, call_id: str) -> int | None:
        for number in range(len(self._state.items) - 1, -1, -1):
            item = self._state.items[number]
            if item.agent == self.id and item.started.call_id == call_id:
                return number
        return None

    def say(self, payload: t.Payload) -> None:
        """Emit for this agent."""
        self.team.emit([t.Draft(payload, NODE, self.id)])


def _text(value: object) -> str:
    """A tool's value as the model reads it."""
    if isinstance(value, ToolReturn):
        value = value.return_value
    return ToolReturnPart("tool", value, "call").model_response_str()
