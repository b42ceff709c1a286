"""One invocation of an agent: it calls the model, executes tool calls, and dispatches subagents, until it
is done.

Each turn of `work` gets the next step from `steps.next_step`, does it, and logs it. Calls of one reply run
in parallel; a subagent is a call whose work is another invocation. A tool starts only after its
`tool.started` is durable. Requests to people go to the log; when only people can continue the work, `work`
returns False and the run pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from tailrace.errors import LimitReached, ModelFailed
from tailrace.events import history
from tailrace.events import types as t
from tailrace.events.items import Item, Json, Message, TextPart, ToolCall, text_of
from tailrace.events.request import ModelRequest, Settings, ToolChoice
from tailrace.events.tools import run_by_client
from tailrace.models.contract import Model
from tailrace.runtimes import compaction, structured, variables
from tailrace.runtimes.agent import Agent, AgentLimits
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.decisions import with_note
from tailrace.runtimes.foreign import without_server_words
from tailrace.runtimes.node_lifecycle import ModelReply
from tailrace.runtimes.repeating import beginning
from tailrace.runtimes.steps import (
    Answer,
    AskApproval,
    AskUser,
    Dispatch,
    RunTools,
    WaitForAnswer,
    next_move,
    next_step,
    question_id,
)
from tailrace.runtimes.toolbox import Toolbox
from tailrace.runtimes.tools.contract import PROGRESS, Progress, Tool, ToolContext, ToolResult
from tailrace.runtimes.tools.dispatch import ASK_USER, read_task

OF_THE_RUN = ("metadata", "store")
"""Parameters of a Chat client about its run, not about the model calls in it."""


def _number(value: object) -> float | None:
    """A tool author's number as a float, the only numeric type in the log."""
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Team:
    """The state that all invocations of a run share."""

    context: RunContext
    limits: AgentLimits

    def check(self, calls: int = 0) -> None:
        """Raises `LimitReached` if the run has exhausted a limit, or would with `calls` more tool calls."""
        limits, total = self.limits, self.context.state.total()
        if limits.tokens and total.input + total.output >= limits.tokens:
            raise LimitReached("max_tokens")
        if limits.cost and total.cost >= limits.cost:
            raise LimitReached("max_cost")
        allowed = [most for most in (limits.tool_calls, self._asked_calls()) if most]
        if allowed:
            begun_calls = sum(item.has_begun for item in self.context.state.items)
            if begun_calls + calls > min(allowed):
                raise LimitReached("max_tool_calls")

    def _asked_calls(self) -> int:
        """The most calls that a Responses client allows; 0 for no limit."""
        request = self.context.state.request
        settings = request.settings if request is not None else None
        if settings is None or settings.origin != "responses":
            return 0
        most = settings.extra.get("max_tool_calls")
        return most if isinstance(most, int) else 0


class Invocation:
    """An agent's work. `base` is the constant part of its model requests."""

    def __init__(
        self, team: Team, agent: Agent, *, id: str, node: str, model: Model, base: ModelRequest
    ) -> None:
        self._team = team
        self._context = team.context
        self._agent = agent
        self._id = id
        self._node = node
        self._model = model
        self._base = base
        self._tools = Toolbox(agent)

    async def work(self) -> bool:
        """Continue from the log. True when the agent is done, False when it waits for a person."""
        state = self._context.state
        has_replied = state.replies.get(self._id, 0) > 0
        await self._tools.fill(has_replied=has_replied, patient=state.attempt > 1)
        while True:
            step = next_step(state, self._id)
            if step.kind == "tools":
                if not await self._answer_calls(step.calls):
                    return False
                continue
            note = ""
            if step.kind == "end":
                note = await structured.fault(state, self._id, self._base.settings.output)
                if not note:
                    return True
            await self._ask(note)

    # the model

    async def _ask(self, note: str) -> None:
        """Request one model reply; `note` is the fault of the last one."""
        state = self._context.state
        self._team.check()
        await self._tools.look_again()
        if state.replies.get(self._id, 0) >= self._agent.limits.turns:
            raise LimitReached("max_turns")
        if compaction.due(state, self._id, self._agent.context_tokens):
            await self._compact()
        request = self._request(note)
        theirs = run_by_client(self._base.settings.tools, request.items)
        reply, ours = ModelReply(state, self._node, self._id), set[int]()
        try:
            async with aclosing(self._model.stream(request)) as batches:
                async for payloads in batches:
                    marked_payloads = [
                        self._mark_call(payload, theirs, ours) for payload in payloads
                    ]
                    self._context.emit(reply.convert(marked_payloads))
                    await self._context.room()
        except ModelFailed as failure:
            raise without_server_words(failure, self._context.run) from None
        if self._agent.context_tokens:
            tokens = state.contexts.get(self._id, 0)
            self._emit(t.ContextUsage(tokens, self._agent.context_tokens))

    def _request(self, note: str) -> ModelRequest:
        items = self._conversation()
        if note:
            items = (*items, Message(role="user", content=(TextPart(note),)))
        settings = self._base.settings
        extra = {name: value for name, value in settings.extra.items() if name not in OF_THE_RUN}
        tools = self._tools.specs(settings.tools)
        if not tools and settings.tool_choice.mode != "required":
            # The client cannot know that there are none; servers refuse a choice without tools.
            settings = msgspec.structs.replace(
                settings, tool_choice=ToolChoice(), parallel_tool_calls=None
            )
        if self._context.state.replies.get(self._id):
            # A choice forced on every reply would never let the agent end.
            settings = msgspec.structs.replace(settings, tool_choice=ToolChoice())
        return ModelRequest(
            items=items,
            instructions=self._base.instructions,
            settings=msgspec.structs.replace(settings, tools=tools, extra=extra),
            beginning=beginning(self._context.state, self._node, self._id),
        )

    def _conversation(self) -> tuple[Item, ...]:
        return history.conversation(self._context.state, self._id, self._base.items, self._node)

    def _mark_call(
        self, payload: t.Payload, theirs: set[tuple[str, str]], ours: set[int]
    ) -> t.Payload:
        """The payload, marked if it is a call that this server answers: of one of the agent's tools, or of
        a tool that does not exist, also if a limit cut it off (`steps.next_move`)."""
        if isinstance(payload, t.ItemCompleted) and payload.item in ours:
            return msgspec.structs.replace(payload, status="completed")
        if not isinstance(payload, t.ItemStarted) or payload.kind != "tool_call":
            return payload
        namespace = namespace_of(payload)
        if namespace and (namespace, payload.name) in theirs:
            return payload
        tool = self._tools.by_name(payload.name)
        if tool is None and (namespace, payload.name) in theirs:
            return payload
        ours.add(payload.item)
        if tool is None and self._agent.asks_user and payload.name == ASK_USER:
            return msgspec.structs.replace(payload, waits_for="answer")
        return msgspec.structs.replace(
            payload,
            runs_on=tool.runs_on if tool is not None else "server",
            server_label=(tool.server_label if tool is not None else "") or self._agent.name,
            waits_for="approval" if tool is not None and tool.approval else "",
        )

    async def _compact(self) -> None:
        """Let the model summarise the agent's history; the summary is not shown."""
        self._emit(t.CompactionStarted("context"))
        text, fault = await self._summarise()
        state = self._context.state
        inputs = [*self._base.items]
        for each in history.input_heard(state, self._id, self._node):
            inputs += each.input
        replacement = () if fault else compaction.replacement(text, tuple(inputs))
        self._emit(t.CompactionCompleted(replacement, fault))

    async def _summarise(self) -> tuple[str, str]:
        """The model's summary of the conversation, and its fault or `""`."""
        request = compaction.request(self._conversation(), self._base.instructions)
        text = fault = ""
        try:
            async with aclosing(self._model.stream(request)) as batches:
                async for payload in (each async for batch in batches for each in batch):
                    if isinstance(payload, t.TextDelta):
                        text += payload.text
                    elif isinstance(payload, t.Usage):
                        self._emit(msgspec.structs.replace(payload, purpose="compaction"))
                        fault = compaction.fault(text, payload.finish)
        except ModelFailed as failure:
            fault = without_server_words(failure, self._context.run).message
        return text, fault

    # the calls

    async def _answer_calls(self, calls: Sequence[int]) -> bool:
        """Work on pending calls in parallel, and log each result when it arrives; False when all remaining
        calls wait for a person."""
        running: dict[asyncio.Task[bool], int] = {}
        waiting_for_people: set[int] = set()
        answer_count = self._context.answer_count
        news = asyncio.create_task(self._context.news(answer_count))
        try:
            while True:
                waiting = {*running.values(), *waiting_for_people}
                new_calls = self._begin_calls([call for call in calls if call not in waiting])
                if new_calls:
                    await self._context.flush()
                for call in new_calls:
                    running[asyncio.create_task(self._run_call(call), name=f"call {call}")] = call
                if not running:
                    return next_step(self._context.state, self._id).kind != "tools"
                await asyncio.wait({*running, news}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    call = running.pop(task)
                    if not task.result():
                        waiting_for_people.add(call)
                if news.done():
                    answer_count = self._context.answer_count
                    news = asyncio.create_task(self._context.news(answer_count))
                    waiting_for_people.clear()
        finally:
            news.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(news, *running, return_exceptions=True)

    def _begin_calls(self, calls: Sequence[int]) -> list[int]:
        """Do the immediate part of the calls' moves; returns the calls that can start."""
        calls_to_run: list[int] = []
        state = self._context.state
        below = frozenset(self._agent.subagents)
        open_calls = [call for call in calls if state.items[call].tool != "done"]
        moves = {call: next_move(state, call, self._tool(call), below) for call in open_calls}
        new = [
            call
            for call, move in moves.items()
            if isinstance(move, RunTools | Dispatch) and not state.items[call].has_begun
        ]
        self._team.check(len(new))
        for call, move in moves.items():
            match move:
                case WaitForAnswer():
                    pass
                case Answer(completed):
                    self._emit(completed)
                case AskApproval(request):
                    self._emit(request)
                case AskUser(question):
                    name = question_id(call)
                    schema = question.schema()
                    self._emit(t.InputRequested(name, question.question, schema, call))
                case RunTools() | Dispatch():
                    item = state.items[call]
                    if item.tool != "running":
                        self._emit(t.ToolStarted(call, self._key(call), item.edited_arguments))
                    calls_to_run.append(call)
        return calls_to_run

    async def _run_call(self, call: int) -> bool:
        """Execute one call and log its result; False when it waits for a person."""
        tool = self._tool(call)
        content = self._context.state.items[call].call()
        if content is None:
            raise AssertionError("only complete calls begin")
        if tool is None:
            return await self._dispatch(call, content)

        def progress(report: Progress) -> None:
            # The caller cannot wait: progress is dropped when the log is behind.
            if self._context.state.items[call].tool == "running" and not self._context.full:
                done, total = _number(report.done), _number(report.total)
                self._emit(t.ToolProgress(call, str(report.message)[:PROGRESS], done, total))

        run, request = self._context.run, self._context.request
        about = ToolContext(run, content.call_id, self._key(call), progress, request)
        result = (await tool.call(content.arguments, about)).cut()
        output = with_note(self._context.state.items[call], result.output)
        self._emit(t.ToolCompleted(call, output, result.is_error))
        return True

    async def _dispatch(self, call: int, content: ToolCall) -> bool:
        """Let a subagent do the task of a `task` call."""
        task = read_task(content.arguments, list(self._agent.subagents))
        if isinstance(task, str):
            self._emit(t.ToolCompleted(call, task, is_error=True))
            return True
        state = self._context.state
        agent = self._agent.subagents[task.agent]
        (id,) = state.dispatches.get(call) or [state.invocation(agent.name)]
        if id not in state.agents:
            started = t.AgentStarted(agent.name, "subagent", self._id, call)
            self._context.emit([t.Draft(started, self._node, id)])
        child = Invocation(
            self._team,
            agent,
            id=id,
            node=self._node,
            model=agent.model,
            base=ModelRequest(
                items=(Message(role="user", content=(TextPart(task.prompt),)),),
                instructions=variables.fill(agent.instructions, self._context.request),
                settings=_settings(agent),
            ),
        )
        return await self._wait_for(child, id, call)

    async def _wait_for(self, child: Invocation, id: str, call: int) -> bool:
        state = self._context.state
        status: t.Ending = "completed"
        try:
            if not await child.work():
                return False
            result = ToolResult(last_text(history.made_by(state, id))).cut()
            answer = t.ToolCompleted(call, result.output)
        except LimitReached as limit:
            if limit.reason != "max_turns":
                raise
            status, why = "incomplete", f"The agent stopped after {child.turns} turns."
            answer = t.ToolCompleted(call, why, is_error=True)
        except ModelFailed as failure:
            status, why = "failed", f"The agent failed: {failure.message}"
            answer = t.ToolCompleted(call, why, is_error=True)
        self._context.emit(
            [
                *state.close_items(id),
                t.Draft(t.AgentCompleted(status), self._node, id),
                t.Draft(answer, self._node, self._id),
            ]
        )
        return True

    @property
    def turns(self) -> int:
        """The maximum number of replies of the agent."""
        return self._agent.limits.turns

    def _tool(self, call: int) -> Tool | None:
        return self._tools.of_item(self._context.state.items[call])

    def _key(self, call: int) -> str:
        """The call's idempotency key: the run and the item, which no other call shares."""
        return f"{self._context.run}:{call}"

    def _emit(self, payload: t.Payload) -> None:
        self._context.emit([t.Draft(payload, self._node, self._id)])


def last_text(items: Sequence[Item]) -> str:
    """The text of the last message."""
    for item in reversed(items):
        if isinstance(item, Message):
            return text_of(item.content)
    return ""


def _settings(agent: Agent) -> Settings:
    return Settings(output=agent.output) if agent.output is not None else Settings()


def namespace_of(call: t.ItemStarted) -> str:
    """The namespace of a call, `""` without one."""
    details: Json = call.details.get("responses") or {}
    return str(details.get("namespace") or "")
