"""One run of a graph inside a run of ours: its replies, tools, and requests to people.

A graph continues from its checkpoints; the repeated part of its unfinished step is played back. A reply is
identified by the place of the model call (step, task, number of the call in the task), which is the same in
every attempt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command, Interrupt

from tailrace.errors import LimitReached
from tailrace.events import history
from tailrace.events import types as t
from tailrace.events.item_state import ItemState
from tailrace.events.items import Json
from tailrace.runtimes.adapters.langgraph import anatomy
from tailrace.runtimes.adapters.langgraph.messages import DIALECT, reply_message, text_of, usage
from tailrace.runtimes.adapters.langgraph.people import People
from tailrace.runtimes.adapters.langgraph.reply import Floor, LangGraphReply, ToolRoles
from tailrace.runtimes.adapters.langgraph.saver import Saver
from tailrace.runtimes.adapters.playback import Member, PlaybackTeam, Scope
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.decisions import with_note
from tailrace.runtimes.steps import INTERRUPTED
from tailrace.runtimes.tools.contract import tool_failure

Result = TypeVar("Result")


class Graphs(PlaybackTeam):
    """The state that the graphs of a run share."""

    def __init__(
        self,
        context: RunContext,
        saver: Saver,
        name: str,
        max_turns: int,
        answer_nodes: Collection[str] = (),
    ) -> None:
        """`answer_nodes`: the nodes of the main graph that speak to the user; empty for those after which it
        may end."""
        super().__init__(context)
        self.answer_nodes = frozenset(answer_nodes)
        self.max_turns = max_turns
        self.saver = saver
        self.name = name
        self.people = People(self, saver)
        self.model_errors: list[BaseException] = []
        self.client = {
            tool.name for tool in context.request.settings.tools if tool.kind == "function"
        }
        self.has_client_calls = any(
            item.tool == "handed" and item.agent == t.MAIN for item in context.state.items
        )
        self._threads: set[Future[Any]] = set()

    def from_thread(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do a thread's work on the event loop; the thread waits for it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        self._threads.add(future)
        try:
            return future.result()
        finally:
            self._threads.discard(future)

    def let_threads_go(self) -> None:
        """Cancel the waits of threads: the graph has ended or was stopped."""
        for future in list(self._threads):
            future.cancel()


class ModelCallContext(NamedTuple):
    """A model call before its reply: its metadata, its options, its tags."""

    about: dict[str, Any]
    options: dict[str, Any]
    tags: frozenset[str]


class OpenModelCall:
    """A model call in progress: its place, and the reply that records it. `reply` is None for calls that
    clients do not see; `purpose` is what they are for."""

    def __init__(
        self,
        task: str,
        count: int,
        model: str,
        reply: LangGraphReply | None,
        purpose: t.Purpose = "reply",
    ) -> None:
        self.task = task
        self.count = count
        self.key = f"{task}#{count}"
        self.model = model
        self.reply = reply
        self.purpose: t.Purpose = purpose


class LangGraphInvocation(Member):
    """A graph at work, in node `node` of another one; without a graph, the models that a tool calls itself.
    In a node that speaks to the user it answers the client, as the main graph does."""

    def __init__(
        self, scope: Scope, name: str, graph: anatomy.Graph | None, node: str = ""
    ) -> None:
        outside = scope.member
        self.answers_client = outside is None or (
            scope.call is None
            and graph is not None
            and cast("LangGraphInvocation", outside)._speaks_in(node)
        )
        super().__init__(scope, name, "main" if self.answers_client else "subagent")
        self.graphs = cast("Graphs", scope.team)
        self._graph = graph
        self._floor = Floor()
        self._counts: dict[str, int] = {}
        self._tool_errors: dict[int, str] = {}
        self._alone: dict[int, LangGraphInvocation] = {}

    def _speaks_in(self, node: str) -> bool:
        """Whether an agent in a node of this graph speaks to the user."""
        if not self.answers_client or self._graph is None:
            return False
        if self.is_main and self.graphs.answer_nodes:
            return node in self.graphs.answer_nodes
        return node in anatomy.answering_nodes(self._graph)

    # models

    async def before_reply(
        self, messages: Sequence[BaseMessage], call: ModelCallContext
    ) -> AIMessage | OpenModelCall:
        """Called before a model call: the reply, if the log has it."""
        about, model_tools = call.about, anatomy.tool_names(call.options)
        self.catch_up(messages)
        await self.stop_before_client_calls()
        task = f"{about.get('langgraph_step')}{about.get('langgraph_path')}"
        count = self._counts.get(task, 0)
        self._counts[task] = count + 1
        model = str(about.get("ls_model_name") or "")
        if about.get("lc_source") == "summarization":
            self.emit(t.CompactionStarted("context"))
            return OpenModelCall(task, count, model, None, "compaction")
        if self._graph is not None and anatomy.is_internal(self._graph, call.options, call.tags):
            key = f"{self.id} {task}#{count}"
            internal = self.graphs.saver.internal_reply(key)
            return internal or OpenModelCall(task, count, model, None, "internal")
        if items := self._reply_at(f"{task}#{count}"):
            contents = [item.content for item in items if item.content is not None]
            return self._without_client_calls(reply_message(contents, in_same_run=True))
        if self.state.replies.get(self.id, 0) >= self.graphs.max_turns:
            raise LimitReached("max_turns")
        graph = self._graph
        client = self.graphs.client if self.is_main else set[str]()
        tools = ToolRoles(
            label=self.name,
            client=client,
            approval=anatomy.approval_tools(graph) if graph is not None else (),
            answers=anatomy.answer_tools(graph, model_tools - client) if graph is not None else (),
        )
        recorder = self.reply_recorder()
        node = str(about.get("langgraph_node") or "")
        explicit = self.is_main and bool(self.graphs.answer_nodes) and bool(node)
        thinks = explicit and node not in self.graphs.answer_nodes
        reply = LangGraphReply(
            self.state, self._floor, recorder, self.emit, tools, as_reasoning=thinks
        )
        return OpenModelCall(task, count, model, reply)

    async def after_reply(self, call: OpenModelCall, message: AIMessage) -> AIMessage:
        """The model has replied; returns the part of it that the graph may see."""
        if call.reply is None:
            cost = usage(message, call.model, calls=False)
            self.emit(msgspec.structs.replace(cost, purpose=call.purpose))
            if call.purpose == "internal":
                await self.graphs.saver.keep_internal_reply(f"{self.id} {call.key}", message)
            return message
        call.reply.finish(message, call.key, call.model)
        await call.reply.finished.wait()
        return self._without_client_calls(message)

    def fail_reply(self, call: OpenModelCall, error: BaseException) -> None:
        """The model failed; a retry is the same call."""
        self.graphs.model_errors.append(error)
        if self._counts[call.task] == call.count + 1:
            self._counts[call.task] = call.count
        if call.reply is not None and not self.team.stopping:
            call.reply.give_up()

    async def conclude(self, message: AIMessage) -> None:
        """The graph's last message; recorded as a separate reply, unless this agent's log has it."""
        if not text_of(message) or message.tool_calls or self._has_said(message):
            return
        at_end = ModelCallContext({"langgraph_step": "end"}, {}, frozenset())
        call = await self.before_reply((), at_end)
        if isinstance(call, OpenModelCall):
            await self.after_reply(call, message)

    def catch_up(self, messages: Sequence[BaseMessage]) -> None:
        """Log the results of calls that did not reach a tool: unknown, malformed, refused."""
        for message in reversed(messages):
            if isinstance(message, AIMessage):
                return
            if isinstance(message, ToolMessage):
                number = self.call(message.tool_call_id)
                if number is not None:
                    self.complete(number, text_of(message), is_error=message.status == "error")

    def close(self, status: t.Ending | None) -> None:
        """The graph has ended, or stops to wait for a person (None)."""
        if not self.team.stopping and status is not None:
            for number, text in self._tool_errors.items():
                self.complete(number, text, is_error=True)
            for each in self._alone.values():
                each.end(status)
        self.end(status)

    def _reply_at(self, key: str) -> list[ItemState]:
        for item in reversed(self.state.items):
            if item.agent == self.id and item.reply and _reply_details(item).get("key") == key:
                mine = (each for each in self.state.items if each.agent == self.id)
                return [each for each in mine if each.reply == item.reply]
        return []

    def _has_said(self, message: AIMessage) -> bool:
        speakers = history.answering_agents(self.state) if self.is_main else {self.id}
        return any(
            item.agent in speakers
            and item.started.kind != "reasoning"
            and _reply_details(item).get("id") == message.id
            for item in self.state.items
        )

    def _without_client_calls(self, message: AIMessage) -> AIMessage:
        """A reply without the calls that the client runs; the turn ends with those."""
        if not self.is_main or not self.graphs.client:
            return message
        calls = [call for call in message.tool_calls if call["name"] not in self.graphs.client]
        if len(calls) == len(message.tool_calls):
            return message
        self.team.has_client_calls = True
        return AIMessage(text_of(message), tool_calls=calls, id=message.id)

    # tools

    async def begin_tool(self, tool: BaseTool, number: int) -> object:
        """Called before a tool runs: the result in the log, or None if the tool must run."""
        item = self.state.items[number]
        if item.tool == "done" and item.output is not None:
            result = self.graphs.saver.result(number)
            status = "error" if item.output.is_error else "success"
            return result if result is not None else _answer(item, item.output.output, status)
        allowed = item.approval is not None and item.approval.approved
        was_interrupted = await self.graphs.people.go_on(number)
        again = was_interrupted or allowed or anatomy.is_repeatable(tool)
        if not await self.begin(number, repeat=again):
            return _answer(item, INTERRUPTED, "error")
        return None

    async def end_tool(self, number: int, result: object) -> None:
        """A tool has returned."""
        self._tool_errors.pop(number, None)
        alone = self._alone.pop(number, None)
        if alone is not None:
            alone.end("completed")
        if not isinstance(result, ToolMessage) or not isinstance(
            cast("object", result.content), str
        ):
            await self.graphs.saver.keep_result(number, result)
        message = _message(result, self.state.items[number].started.call_id)
        if message is not None:
            # the middleware that edited the call adds a note of its own, outside of the tool
            output = with_note(self.state.items[number], text_of(message))
            self.complete(number, output, is_error=message.status == "error")

    def fail_tool(self, number: int, error: Exception) -> None:
        """A tool raised. If the graph continues, its tool node decides what the model reads."""
        self._tool_errors[number] = tool_failure(error, self.state.items[number].started.name)

    def alone(self, scope: Scope) -> LangGraphInvocation:
        """The agent for a tool that calls models itself."""
        number = cast("int", scope.call)
        if number not in self._alone:
            name = self.state.items[number].started.name
            self._alone[number] = LangGraphInvocation(scope, name, None)
        return self._alone[number]

    async def on_interrupts(
        self, interrupts: Sequence[Interrupt], number: int | None = None
    ) -> None:
        """The graph was interrupted, in call `number` or outside of calls, until a person answers."""
        for interrupt in interrupts:
            await self.graphs.people.ask(self, interrupt, number, self._argument_schema)

    def _argument_schema(self, name: str) -> Json:
        return None if self._graph is None else anatomy.argument_schema(self._graph, name)


def _reply_details(item: ItemState) -> dict[str, Any]:
    return (item.content.details.get(DIALECT) or {}) if item.content is not None else {}


def _answer(item: ItemState, text: str, status: Any) -> ToolMessage:
    started = item.started
    return ToolMessage(text, name=started.name, tool_call_id=started.call_id, status=status)


def _message(result: object, call_id: str) -> ToolMessage | None:
    """The message in a tool's result for its call."""
    if isinstance(result, ToolMessage):
        return result
    if isinstance(result, Command):
        update = cast("object", result.update)
        inside = cast("dict[str, Any]", update).get("messages") if isinstance(update, dict) else ()
        return _message(inside, call_id)
    if isinstance(result, list | tuple):
        messages = (_message(each, call_id) for each in cast("Sequence[object]", result))
        return next((each for each in messages if each and each.tool_call_id == call_id), None)
    return None
