"""One run of a Pydantic AI agent inside a run of ours: its replies, tools, and requests to people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
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

from tailrace.events.grammar import ASKED_TOOL
from tailrace.runtimes.adapters.playback import Member, Scope
from tailrace.runtimes.adapters.pydantic_ai.messages import response, with_late_inputs
from tailrace.runtimes.adapters.pydantic_ai.reply import PydanticAIReply
from tailrace.runtimes.decisions import with_note
from tailrace.runtimes.steps import INTERRUPTED, question_id
from tailrace.runtimes.structured import question_schema
from tailrace.runtimes.tools.contract import tool_failure

NOBODY = "This tool does not run for an agent that another agent has called."
RETRY = "retry"
"""`metadata={"after_crash": "retry"}` of a tool: a call that a crash interrupted may be made again."""


class PydanticAIInvocation(Member):
    """An agent of Pydantic AI at work."""

    def __init__(self, scope: Scope, name: str) -> None:
        super().__init__(scope, name)
        self._tools: Mapping[str, ToolDefinition] = {}

    async def room(self) -> None:
        """Let the log catch up."""
        await self.context.room()

    # the model

    async def before_reply(
        self, messages: Sequence[ModelMessage], tools: Mapping[str, ToolDefinition]
    ) -> ModelResponse | None:
        """Called before a call of a model with these `tools`: the reply, if the log has it."""
        self._tools = tools
        self.catch_up(messages)
        items = await self.next_reply()
        return None if items is None else response(items, in_same_run=True)

    def with_late_inputs(self, messages: list[ModelMessage]) -> list[ModelMessage]:
        """The messages for the model: the framework's, and those that came with people's answers."""
        return with_late_inputs(messages, self.late_inputs())

    @contextmanager
    def reply(self) -> Generator[PydanticAIReply]:
        """Record a reply."""
        try:
            yield PydanticAIReply(self.reply_recorder(), self._tools, self.name, main=self.is_main)
        except Exception:
            self.give_up_reply()
            raise

    def catch_up(self, messages: Sequence[ModelMessage]) -> None:
        """Log the results of calls that did not reach a tool: unknown, malformed, skipped."""
        for part in messages[-1].parts if messages else ():
            if isinstance(part, ToolReturnPart):
                number = self.call(part.tool_call_id)
                if number is not None:
                    failed = part.outcome not in ("success", "denied")
                    self.complete(number, part.model_response_str(), is_error=failed)

    # the tools

    async def execute(
        self, call: ToolCallPart, tool: ToolDefinition, work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Execute a tool, or return the result in the log."""
        number = self.call(call.tool_call_id)
        if number is None:  # a tool that calls tools
            return await work()
        item = self.state.items[number]
        if item.tool == "done" and item.output is not None:
            if item.output.is_error:
                raise ToolFailed(item.output.output)
            return item.output.output
        if item.tool in ASKED_TOOL:
            raise ApprovalRequired
        if question_id(number) in self.state.asks:
            return self._answer(number)
        repeat = (tool.metadata or {}).get("after_crash") == RETRY
        if not await self.begin(number, repeat=repeat):
            raise ToolFailed(INTERRUPTED)
        with self.executing(number):
            return await self._run_tool(number, work)

    def _answer(self, number: int) -> Any:
        """The result of a call that its tool deferred."""
        name = question_id(number)
        if self.state.asks[name] == "asked":
            raise CallDeferred
        value = self.state.answers[name]
        self.complete(number, _text(value))
        return value

    async def _run_tool(self, number: int, work: Callable[[], Awaitable[Any]]) -> Any:
        try:
            result = await work()
        except (ApprovalRequired, CallDeferred):
            raise
        except SkipToolExecution as skip:
            self.complete(number, _text(skip.result))
            raise
        except (ToolRetryError, ToolFailedError, ToolFailed, ModelRetry) as failure:
            self.complete(number, str(failure), is_error=True)
            raise
        except Exception as error:
            self.complete(
                number, tool_failure(error, self.state.items[number].started.name), is_error=True
            )
            raise
        if isinstance(result, str):
            result = with_note(self.state.items[number], result)
        self.complete(number, _text(result))
        return result

    # people

    async def answers(self, requests: DeferredToolRequests) -> DeferredToolResults:
        """People's decisions and answers for the calls that wait for them. Calls for the client end the
        turn."""
        numbers: dict[str, int] = {}
        for call in (*requests.approvals, *requests.calls):
            number = self.call(call.tool_call_id)
            if number is not None:
                numbers[call.tool_call_id] = number
        for call in requests.approvals:
            tool = self._tools.get(call.tool_name)
            schema = None if tool is None else tool.parameters_json_schema
            self.ask_approval(numbers[call.tool_call_id], call.args_as_json_str(), schema)
        for call in requests.calls:
            self._ask_result(numbers[call.tool_call_id], call, requests)
        await self.wait_for_answers(numbers.values())
        return DeferredToolResults(
            approvals={
                call.tool_call_id: self._verdict(numbers[call.tool_call_id])
                for call in requests.approvals
            },
            calls={
                call.tool_call_id: self._result(numbers[call.tool_call_id])
                for call in requests.calls
            },
        )

    def _ask_result(self, number: int, call: ToolCallPart, requests: DeferredToolRequests) -> None:
        """A call whose result comes from outside: from the client, or from a person because its tool
        deferred it."""
        item = self.state.items[number]
        if item.started.runs_on == "client":
            return
        if requests.kind(call.tool_call_id) == "external" and not item.has_begun:
            self.complete(number, NOBODY, is_error=True)
            return
        name = question_id(number)
        if name not in self.state.asks:
            metadata = requests.metadata.get(call.tool_call_id, {})
            message = f"What is the result of {call.tool_name}({call.args_as_json_str()})?"
            question = str(metadata.get("message") or message)
            self.ask(name, question, question_schema(metadata.get("schema")), number)

    def _verdict(self, number: int) -> ToolApproved | ToolDenied:
        result = self.complete_without_run(number)
        if result is not None:
            return ToolDenied(result.output)
        arguments = self.state.items[number].edited_arguments
        if arguments is None:
            return ToolApproved()
        return ToolApproved(override_args=msgspec.json.decode(arguments))

    def _result(self, number: int) -> Any:
        item = self.state.items[number]
        if item.output is not None:
            if item.output.is_error:
                return ToolFailed(item.output.output)
            return ToolReturn(item.output.output)
        if item.started.runs_on == "client":
            self.team.has_client_calls = True  # the turn ends before the model reads this
            return ToolReturn(None)
        return ToolReturn(self._answer(number))


def _text(value: object) -> str:
    """A tool's value as text for the model."""
    if isinstance(value, ToolReturn):
        value = value.return_value
    return ToolReturnPart("tool", value, "call").model_response_str()
