"""A function as an agent, usually an async generator: its pieces become events.

A generator has no state that could be continued after a crash: its run fails then, or with `restarts`
starts again from the beginning, and the events of the earlier attempt are abandoned. Items are opened,
closed and accounted for here, so that every value of a generator becomes a legal log, or fails with the
grammar's message.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast, get_type_hints

import msgspec

from tailrace.errors import ConfigError, IllegalEvent
from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.runtimes.adapters.generator.run import (
    AgentEnd,
    Custom,
    GeneratorPiece,
    Run,
    TextPiece,
    ToolCallPiece,
    ToolResultPiece,
)
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.foreign import model_failure
from tailrace.runtimes.node_lifecycle import NODE, ending, opening
from tailrace.runtimes.tools.contract import MAX_OUTPUT, PROGRESS, ToolResult

Function = Callable[[Run], AsyncGenerator[GeneratorPiece, None]]


END: Any = object()
"""The mark at the end of a generator in a thread."""
RESTARTS = "__tailrace_restarts__"
"""The attribute of a function that may be started again, so that it applies wherever the function is
named."""


class GeneratorRuntime:
    """Runs `function(run)` and emits what it yields. Raises `ConfigError` for an object that cannot run
    so."""

    def __init__(self, name: str, function: Function, *, restarts: bool | None = None) -> None:
        """`restarts` applies unless the function declares it itself."""
        if wrong := fault_of(function):
            raise ConfigError(f"{name}: {wrong}")
        self.resumes = bool(getattr(function, RESTARTS, False)) if restarts is None else restarts
        self._name = name
        self._function = function

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, self._name),)

    async def run(self, context: RunContext) -> None:
        if context.state.attempt > 1:
            context.emit(abandoning.everything(context.state))
        context.emit(opening(context.state, self._name))
        writer = _PieceWriter(context, self._name)
        try:
            async with aclosing(pieces_of(self._function, Run(context))) as pieces:
                async for piece in pieces:
                    writer.add(piece)
                    if _begins_tool(piece):
                        await (
                            context.flush()
                        )  # the log has the piece before the generator's next action
                    await context.room()
        except Exception as error:
            if (failure := model_failure(error)) is not None:
                raise failure from error
            raise
        writer.finish()
        context.emit(ending(context.state))


KINDS = (
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
    inspect.iscoroutinefunction,
)
"""What an agent may be: an async generator; a generator, which runs in a thread; a coroutine function, whose
result is the answer."""


async def pieces_of(function: Any, run: Run) -> AsyncGenerator[GeneratorPiece, None]:
    """The pieces of an agent of any kind."""
    code = _code(function)
    if inspect.isasyncgenfunction(code):
        async with aclosing(function(run)) as pieces:
            async for piece in pieces:
                yield piece
    elif inspect.iscoroutinefunction(code):
        result = await function(run)
        if result is not None:
            yield result if isinstance(result, str) else _text(result)
    else:
        generator = function(run)
        try:
            while (piece := await asyncio.to_thread(next, generator, END)) is not END:
                yield piece
        finally:
            await asyncio.to_thread(generator.close)


def fault_of(thing: object) -> str:
    """The reason why an object cannot be a generator agent, or `""`."""
    if not callable(thing) or inspect.isclass(thing):
        return "it is not a function of an agent"
    code = _code(thing)
    if not any(is_kind(code) for is_kind in KINDS):
        return "it is a plain function: write 'async def', or yield the answer"
    try:
        parameters = list(inspect.signature(thing).bind(None).signature.parameters.values())
    except TypeError as error:
        return f"it must take the run and nothing else: {error}"
    with suppress(Exception):  # names that exist only for type checkers
        annotation = get_type_hints(code)[parameters[0].name]
        if isinstance(annotation, type) and not issubclass(Run, annotation):
            return f"it takes a {annotation.__name__}, and an agent is given a tailrace.Run"
    return ""


def _code(thing: Any) -> Any:
    """The function that a call executes, behind the decorators that wrap it."""
    inner: object = inspect.unwrap(thing)
    if inspect.isroutine(inner) or isinstance(inner, functools.partial):
        return cast("Any", inner)
    return cast("Any", type(inner)).__call__


def _begins_tool(piece: GeneratorPiece) -> bool:
    """Whether the generator runs a tool after this piece."""
    return isinstance(piece, t.ToolStarted) or (
        isinstance(piece, ToolCallPiece) and not piece.client
    )


MAY_YIELD = (
    t.ItemStarted,
    t.TextDelta,
    t.RefusalDelta,
    t.AnnotationAdded,
    t.ReasoningDelta,
    t.ReasoningSummaryDelta,
    t.ArgumentsDelta,
    t.ImagePartial,
    t.AudioDelta,
    t.TranscriptDelta,
    t.ItemCompleted,
    t.ToolStarted,
    t.ToolProgress,
    t.ToolCompleted,
    t.CompactionStarted,
    t.CompactionCompleted,
    t.ContextUsage,
    t.Custom,
    t.RunCompleted,
    t.RunIncomplete,
    t.RunFailed,
)
"""Events that a generator may emit itself; attempts, nodes, agents and people are not among them."""


class _PieceWriter:
    """Keeps, for each agent, the open item and whether its last reply is accounted for."""

    def __init__(self, context: RunContext, name: str) -> None:
        self._context = context
        self._name = name
        self._open: dict[str, tuple[int, str]] = {}
        self._owing: set[str] = set()
        self._calls: dict[str, tuple[int, str]] = {}
        self._lengths: dict[int, int] = {}

    def add(self, piece: GeneratorPiece) -> None:
        """Emit the events of a piece. Raises `IllegalEvent` for one that a generator may not yield."""
        match piece:
            case str():
                self._say(TextPiece("message", piece))
            case TextPiece():
                self._say(piece)
            case ToolCallPiece():
                self._call(piece)
            case ToolResultPiece():
                self._answer(piece)
            case Custom():
                self._join(piece.agent)
                self._emit(piece.agent, t.Custom(piece.name, piece.data))
            case AgentEnd():
                self._part(piece.agent)
            case t.Usage():
                self._account(t.MAIN, piece)
            case t.Base() if isinstance(piece, MAY_YIELD):
                self._emit(t.MAIN, piece)
            case _:
                raise IllegalEvent(f"a generator may not yield {type(piece).__name__}")

    def finish(self) -> None:
        """The generator has ended: end everything that it started."""
        for agent in [*self._context.state.agents]:
            if agent != t.MAIN and self._context.state.agents[agent] == "open":
                self._part(agent)
        self._account(t.MAIN)

    def _say(self, piece: TextPiece) -> None:
        self._join(piece.agent)
        number, kind = self._open.get(piece.agent, (-1, ""))
        if kind != piece.kind:
            self._close(piece.agent)
            number = self._begin(piece.agent, t.ItemStarted(self._next(), piece.kind))
            self._open[piece.agent] = (number, piece.kind)
        if piece.kind == "message":
            self._emit(piece.agent, t.TextDelta(number, piece.text))
        else:
            self._emit(piece.agent, t.ReasoningDelta(number, piece.text))

    def _call(self, call: ToolCallPiece) -> None:
        self._join(call.agent)
        self._close(call.agent)
        number = self._begin(
            call.agent,
            t.ItemStarted(
                self._next(),
                "tool_call",
                name=call.name,
                call_id=call.id,
                runs_on="client" if call.client else "server",
                server_label="" if call.client else self._name,
            ),
        )
        self._calls[call.id] = (number, call.agent)
        arguments = _text(call.arguments)
        if len(arguments) > MAX_OUTPUT:
            raise IllegalEvent(f"the arguments of {call.name} are over {MAX_OUTPUT} characters")
        self._emit(call.agent, t.ArgumentsDelta(number, arguments))
        self._emit(call.agent, t.ItemCompleted(number))
        if call.client:
            self._account(call.agent, t.Usage(self._name, finish="tool_calls"))
        else:
            self._account(call.agent)
            self._emit(call.agent, t.ToolStarted(number, f"{self._context.run}:{number}"))

    def _answer(self, answer: ToolResultPiece) -> None:
        if answer.id not in self._calls:
            raise ValueError("a result comes after its call was yielded")
        number, agent = self._calls[answer.id]
        result = ToolResult(_text(answer.output), answer.is_error)
        self._emit(agent, t.ToolCompleted(number, result.output, result.is_error))

    def _join(self, agent: str) -> None:
        """A subagent joins with its first piece."""
        if agent not in self._context.state.agents:
            name = agent.partition("#")[0]
            self._emit(agent, t.AgentStarted(name, "subagent", t.MAIN))

    def _part(self, agent: str) -> None:
        self._account(agent)
        self._emit(agent, t.AgentCompleted())

    def _begin(self, agent: str, start: t.ItemStarted) -> int:
        self._emit(agent, start)
        self._owing.add(agent)
        return start.item

    def _close(self, agent: str) -> None:
        number, _ = self._open.pop(agent, (-1, ""))
        if number >= 0:
            self._emit(agent, t.ItemCompleted(number))

    def _account(self, agent: str, usage: t.Usage | None = None) -> None:
        """End the agent's reply, so that the next turn has it in its history."""
        self._close(agent)
        if usage is not None or agent in self._owing:
            self._emit(agent, usage or t.Usage(self._name))
        self._owing.discard(agent)

    def _next(self) -> int:
        return len(self._context.state.items)

    def _emit(self, agent: str, payload: t.Payload) -> None:
        """Emit a piece of the author; a stored value must be readable again."""
        if not isinstance(payload, t.TextDelta) or type(payload.text) is not str:
            try:
                msgspec.convert(msgspec.to_builtins(payload), type(payload))
            except (msgspec.ValidationError, TypeError) as error:
                raise IllegalEvent(f"{type(payload).__name__}: {error}") from None
        self._context.emit([t.Draft(self._cut(payload), NODE, agent)])

    def _cut(self, payload: t.Payload) -> t.Payload:
        """The payload, with a text or a result cut at `MAX_OUTPUT` characters."""
        if isinstance(payload, t.ToolCompleted):
            result = ToolResult(payload.output, payload.is_error).cut()
            return t.ToolCompleted(payload.item, result.output, result.is_error)
        if isinstance(payload, t.ToolProgress):
            return msgspec.structs.replace(payload, message=payload.message[:PROGRESS])
        if not isinstance(payload, t.TextDelta | t.ReasoningDelta):
            return payload
        before = self._lengths.get(payload.item, 0)
        after = self._lengths[payload.item] = before + len(payload.text)
        if after <= MAX_OUTPUT:
            return payload
        note = f"\n[cut after {MAX_OUTPUT} characters]" if before <= MAX_OUTPUT else ""
        room = max(MAX_OUTPUT - before, 0)
        return msgspec.structs.replace(payload, text=payload.text[:room] + note)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
