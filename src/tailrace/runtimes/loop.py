"""The built-in agent: model, tools, model, until the model has nothing more to call. Log-first.

Each round asks `next_step` what the log says is to be done, does it, and logs it. There is no other
state, so going on after a crash is the same as going on: a finished reply or tool result is in the log
and is not made again. A tool begins only after `tool.started` is durable; one that had begun when its
worker died runs again only if it is idempotent, else the model is told that the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from difflib import get_close_matches
from typing import Literal

import msgspec

from tailrace.errors import LimitReached
from tailrace.events import history
from tailrace.events.items import ToolCall
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState
from tailrace.events.types import (
    MAIN,
    AgentEntry,
    ItemStarted,
    Payload,
    ToolCompleted,
    ToolStarted,
)
from tailrace.models.contract import Model
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.single import Reply, ending, opening, said
from tailrace.runtimes.tools.functions import FunctionTool, ToolContext, ToolResult

INTERRUPTED = "The server stopped while this tool ran; whether it took effect is unknown."


class Step(msgspec.Struct, frozen=True):
    """What the log says comes next; `calls` are the items of the tool calls to run."""

    kind: Literal["ask", "tools", "end"]
    calls: tuple[int, ...] = ()


def next_step(state: RunState) -> Step:
    """The agent's next step, from nothing but the run's state."""
    mine = [(n, item) for n, item in enumerate(state.items) if item.agent == MAIN]
    pending = tuple(n for n, item in mine if item.reply and item.tool in ("called", "interrupted"))
    if pending:
        return Step("tools", pending)
    last = state.replies.get(MAIN, 0)
    if last == 0:
        return Step("ask")
    tools = [item.tool for _, item in mine if item.reply == last]
    return Step("ask" if "done" in tools and "handed" not in tools else "end")


class AgentLoop:
    """An agent made of a model, instructions and Python functions.

    `model` is used unless the request names another of `models`. After `max_turns` model replies the
    run ends as incomplete (`max_turns`).
    """

    resumes = True

    def __init__(
        self,
        name: str,
        *,
        models: Mapping[str, Model],
        model: str,
        instructions: str = "",
        tools: Sequence[FunctionTool] = (),
        max_turns: int = 32,
    ) -> None:
        self.name = name
        self._models = models
        self._model = model
        self._instructions = instructions
        self._tools = {tool.name: tool for tool in tools}
        self._max_turns = max_turns

    def registry(self) -> Sequence[AgentEntry]:
        return (AgentEntry(MAIN, self.name),)

    async def run(self, context: RunContext) -> None:
        state = context.state
        context.emit(opening(state, self.name))
        while (step := next_step(state)).kind != "end":
            if step.kind == "tools":
                await self._run_tools(context, step.calls)
            elif state.replies.get(MAIN, 0) >= self._max_turns:
                raise LimitReached("max_turns")
            else:
                await self._ask(context)
        context.emit(ending(state))

    async def _ask(self, context: RunContext) -> None:
        """One model reply."""
        model = self._models.get(context.request.model, self._models[self._model])
        theirs = {tool.name for tool in context.request.settings.tools if tool.kind != "provider"}
        reply = Reply(context.state)
        async with aclosing(model.stream(self._request(context), reply.numbers())) as batches:
            async for payloads in batches:
                context.emit(reply.said([self._placed(payload, theirs) for payload in payloads]))
                await context.room()

    def _request(self, context: RunContext) -> ModelRequest:
        request = context.request
        ours = tuple(tool.spec for tool in self._tools.values())
        return ModelRequest(
            items=history.conversation(context.state),
            instructions="\n\n".join(filter(None, (self._instructions, request.instructions))),
            settings=msgspec.structs.replace(
                request.settings, tools=(*ours, *request.settings.tools)
            ),
        )

    def _placed(self, payload: Payload, theirs: set[str]) -> Payload:
        """A call of one of our tools, or of a tool nobody has, is ours to answer."""
        if not isinstance(payload, ItemStarted) or payload.kind != "tool_call":
            return payload
        if payload.name in theirs and payload.name not in self._tools:
            return payload
        return msgspec.structs.replace(payload, runs_on="server", server_label=self.name)

    async def _run_tools(self, context: RunContext, calls: Sequence[int]) -> None:
        """Run pending calls side by side; each result is logged when it comes."""
        for item in calls:
            if answer := self._refused(context.state, item):
                context.emit(said([answer]))
        begun = [item for item in calls if context.state.items[item].tool != "done"]
        context.emit(said([ToolStarted(item, _key(context, item)) for item in begun]))
        await context.flush()
        running = {
            asyncio.create_task(self._call(context, item), name=f"tool {item}"): item
            for item in begun
        }
        try:
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                ready = sorted((running.pop(task), task.result()) for task in done)
                context.emit(
                    said([ToolCompleted(n, made.output, made.is_error) for n, made in ready])
                )
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _refused(self, state: RunState, item: int) -> ToolCompleted | None:
        """The answer to a call that must not run, or None."""
        name = state.items[item].started.name
        tool = self._tools.get(name)
        if tool is None:
            near = get_close_matches(name, self._tools, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            return ToolCompleted(item, f"There is no tool named {name}.{hint}", is_error=True)
        if state.items[item].tool == "interrupted" and not tool.idempotent:
            return ToolCompleted(item, INTERRUPTED, is_error=True)
        return None

    async def _call(self, context: RunContext, item: int) -> ToolResult:
        call = context.state.items[item].content
        if not isinstance(call, ToolCall):
            return ToolResult("The call was cut off.", is_error=True)
        key = _key(context, item)
        return await self._tools[call.name].call(
            call.arguments, ToolContext(context.run, call.call_id, key)
        )


def _key(context: RunContext, item: int) -> str:
    """The call's idempotency key: the run and the item, which no other call shares."""
    return f"{context.run}:{item}"
