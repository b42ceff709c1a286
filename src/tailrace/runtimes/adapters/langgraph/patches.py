"""The patches of LangGraph and LangChain that let us observe graphs. There are no others.

A graph's models and tools are captured by its nodes, so their classes are wrapped, once, when this file is
imported; outside our runs they behave as before. Synchronous code of a graph runs in threads: there the
same work is passed to the event loop, and the thread waits for it. The invocation makes all decisions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCallChunk
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, GraphInterrupt

from tailrace import hooks
from tailrace.runtimes.adapters.langgraph import anatomy
from tailrace.runtimes.adapters.langgraph.anatomy import with_client_options
from tailrace.runtimes.adapters.langgraph.invocation import (
    Graphs,
    LangGraphInvocation,
    ModelCallContext,
    OpenModelCall,
)
from tailrace.runtimes.adapters.langgraph.messages import with_late_inputs
from tailrace.runtimes.adapters.playback import SCOPE, Scope, scope

GRAPHS, MODELS = ("langgraph", "1.2.20"), ("langchain-core", "1.7")
Result = TypeVar("Result")


def _thread() -> Scope | None:
    """The place of code that runs in a thread of one of our runs."""
    place = SCOPE.get()
    return place if place is not None and not place.is_here else None


def _call_from_thread(place: Scope, work: Coroutine[Any, Any, Result]) -> Result:
    """From a thread: do work on the event loop, and wait for it."""
    return cast("Graphs", place.team).from_thread(work)


@contextmanager
def _inside(place: Scope) -> Generator[None]:
    token = SCOPE.set(place)
    try:
        yield
    finally:
        SCOPE.reset(token)


# graphs


def _begin(place: Scope, graph: anatomy.Graph, config: Any) -> LangGraphInvocation:
    """A graph starts in this scope."""
    if place.member is None:
        name = cast("Graphs", place.team).name
    elif place.call is not None:
        tool_name = place.member.state.items[place.call].started.name
        name = anatomy.name_of(graph) or tool_name
    else:
        about = ensure_config(config).get("metadata") or {}
        name = anatomy.name_of(graph) or str(about.get("langgraph_node") or "graph")
    node = str((ensure_config(config).get("metadata") or {}).get("langgraph_node") or "")
    member = LangGraphInvocation(place, name, graph, node)
    SCOPE.reset(member.start())
    return member


async def _end(member: LangGraphInvocation, error: BaseException | None) -> None:
    match error:
        case None:
            member.close("completed")
        case GraphInterrupt():
            await member.on_interrupts(error.args[0] if error.args else ())
            member.close(None)
        case GraphBubbleUp():
            member.close("completed")
        case Exception():
            member.close("failed")
        case _:
            member.close("cancelled")


def _astream(original: Any) -> Any:
    @wraps(original)
    async def astream(
        self: Any, input: Any, config: Any = None, **options: Any
    ) -> AsyncGenerator[Any]:
        place = scope()
        steps: AsyncIterator[Any] = original(self, input, config, **options)
        if place is None:
            async for step in steps:
                yield step
            return
        member = _begin(place, self, config)
        here = Scope(place.team, member, None)
        error: BaseException | None = None
        try:
            while True:
                try:
                    with _inside(here):
                        step = await anext(steps)
                except StopAsyncIteration:
                    break
                yield step
        except BaseException as exception:
            error = exception
            raise
        finally:
            await _end(member, error)

    return astream


def _stream(original: Any) -> Any:
    @wraps(original)
    def stream(self: Any, input: Any, config: Any = None, **options: Any) -> Generator[Any]:
        place = _thread()
        steps: Iterator[Any] = original(self, input, config, **options)
        if place is None:
            yield from steps
            return

        async def begin() -> LangGraphInvocation:
            return _begin(place, self, config)

        member = _call_from_thread(place, begin())
        here = Scope(place.team, member, None)
        error: BaseException | None = None
        try:
            while True:
                try:
                    with _inside(here):
                        step = next(steps)
                except StopIteration:
                    break
                yield step
        except BaseException as exception:
            error = exception
            raise
        finally:
            _call_from_thread(place, _end(member, error))

    return stream


# models


class _Tap:
    """Makes a model stream: it does so for a handler with these two methods."""

    raise_error = True
    run_inline = True

    def tap_output_aiter(self, run_id: Any, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The chunks unchanged: the model streams because this method exists."""
        return output

    def tap_output_iter(self, run_id: Any, output: Iterator[Any]) -> Iterator[Any]:
        """As `tap_output_aiter`, for a model that is called in a thread."""
        return output


class _Pieces(_Tap, AsyncCallbackHandler):
    def __init__(self, agent: LangGraphInvocation, call: OpenModelCall) -> None:
        self._agent = agent
        self._call = call

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        await _take(self._agent, self._call, chunk)


class _PiecesInThread(_Tap, BaseCallbackHandler):
    def __init__(self, place: Scope, agent: LangGraphInvocation, call: OpenModelCall) -> None:
        self._place = place
        self._agent = agent
        self._call = call

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        _call_from_thread(self._place, _take(self._agent, self._call, chunk))


async def _take(agent: LangGraphInvocation, call: OpenModelCall, chunk: Any) -> None:
    message = getattr(chunk, "message", None)
    if call.reply is not None and isinstance(message, AIMessageChunk):
        call.reply.take(message)
        await agent.context.room()


async def _before(
    place: Scope, messages: list[BaseMessage], manager: Any, options: dict[str, Any]
) -> tuple[LangGraphInvocation, AIMessage | OpenModelCall]:
    agent = cast("LangGraphInvocation", place.member)
    if place.call is not None:
        agent = agent.alone(place)
    about = dict(getattr(manager, "metadata", None) or {})
    call = ModelCallContext(about, options, frozenset(getattr(manager, "tags", None) or ()))
    return agent, await agent.before_reply(messages, call)


async def _after(agent: LangGraphInvocation, call: OpenModelCall, result: ChatResult) -> ChatResult:
    generation = result.generations[0]
    message = cast("AIMessage", generation.message)
    generation.message = await agent.after_reply(call, message)
    return result


async def _fail(agent: LangGraphInvocation, call: OpenModelCall, error: Exception) -> None:
    agent.fail_reply(call, error)


def _listening(manager: Any, handler: BaseCallbackHandler) -> Any:
    """A model's callbacks and ours."""
    manager = copy.copy(manager)
    manager.handlers = [*manager.handlers, handler]
    return manager


def _agenerate(original: Any) -> Any:
    @wraps(original)
    async def agenerate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        place = scope()
        if place is None or place.member is None or run_manager is None:
            return cast("ChatResult", await original(self, messages, stop, run_manager, **options))
        agent, call = await _before(place, messages, run_manager, options)
        if isinstance(call, AIMessage):
            return ChatResult(generations=[ChatGeneration(message=call)])
        if agent.is_main:
            options = with_client_options(self, agent.context.request.settings, options)
        manager = _listening(run_manager, _Pieces(agent, call))
        conversation = with_late_inputs(messages, agent.late_inputs())
        try:
            result = await original(self, conversation, stop, manager, **options)
        except Exception as error:
            await _fail(agent, call, error)
            raise
        return await _after(agent, call, result)

    return agenerate


def _generate(original: Any) -> Any:
    @wraps(original)
    def generate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        place = _thread()
        if place is None or place.member is None or run_manager is None:
            return cast("ChatResult", original(self, messages, stop, run_manager, **options))
        agent, call = _call_from_thread(place, _before(place, messages, run_manager, options))
        if isinstance(call, AIMessage):
            return ChatResult(generations=[ChatGeneration(message=call)])
        if agent.is_main:
            options = with_client_options(self, agent.context.request.settings, options)
        manager = _listening(run_manager, _PiecesInThread(place, agent, call))
        conversation = with_late_inputs(messages, agent.late_inputs())
        try:
            result = original(self, conversation, stop, manager, **options)
        except Exception as error:
            _call_from_thread(place, _fail(agent, call, error))
            raise
        return _call_from_thread(place, _after(agent, call, result))

    return generate


def _model_astream(original: Any) -> Any:
    @wraps(original)
    async def astream(
        self: Any, input: Any, config: Any = None, **options: Any
    ) -> AsyncGenerator[Any]:
        """Code that streams a model itself gets each reply when it is complete."""
        if scope() is None:
            async for chunk in original(self, input, config, **options):
                yield chunk
        else:
            yield _chunk(await self.ainvoke(input, config, **options))

    return astream


def _model_stream(original: Any) -> Any:
    @wraps(original)
    def stream(self: Any, input: Any, config: Any = None, **options: Any) -> Generator[Any]:
        if _thread() is None:
            yield from original(self, input, config, **options)
        else:
            yield _chunk(self.invoke(input, config, **options))

    return stream


def _chunk(message: AIMessage) -> AIMessageChunk:
    fields = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
    calls = [
        ToolCallChunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        for index, call in enumerate(message.tool_calls)
    ]
    return AIMessageChunk(**fields, tool_call_chunks=calls, chunk_position="last")


# tools


def _place_of(place: Scope | None, call_id: str | None) -> tuple[LangGraphInvocation, int] | None:
    """The agent and the call for which a tool runs; None if no call of ours started it."""
    if place is None or not call_id or place.call is not None:
        return None
    agent = cast("LangGraphInvocation | None", place.member)
    number = agent.call(call_id) if agent is not None else None
    return None if agent is None or number is None else (agent, number)


async def _tool_raised(agent: LangGraphInvocation, number: int, error: Exception) -> None:
    if isinstance(error, GraphInterrupt):
        await agent.on_interrupts(error.args[0] if error.args else (), number)
    elif not isinstance(error, GraphBubbleUp):
        agent.fail_tool(number, error)


def _arun(original: Any) -> Any:
    @wraps(original)
    async def arun(self: Any, tool_input: Any, *args: Any, **options: Any) -> Any:
        place = scope()
        call = _place_of(place, options.get("tool_call_id"))
        if place is None or call is None:
            return await original(self, tool_input, *args, **options)
        agent, number = call
        logged_result = await agent.begin_tool(self, number)
        if logged_result is not None:
            return logged_result
        try:
            with _inside(Scope(place.team, agent, number)):
                result = await original(self, tool_input, *args, **options)
        except Exception as error:
            await _tool_raised(agent, number, error)
            raise
        await agent.end_tool(number, result)
        return result

    return arun


def _run(original: Any) -> Any:
    @wraps(original)
    def run(self: Any, tool_input: Any, *args: Any, **options: Any) -> Any:
        place = _thread()
        call = _place_of(place, options.get("tool_call_id"))
        if place is None or call is None:
            return original(self, tool_input, *args, **options)
        agent, number = call
        logged_result = _call_from_thread(place, agent.begin_tool(self, number))
        if logged_result is not None:
            return logged_result
        try:
            with _inside(Scope(place.team, agent, number)):
                result = original(self, tool_input, *args, **options)
        except Exception as error:
            _call_from_thread(place, _tool_raised(agent, number, error))
            raise
        _call_from_thread(place, agent.end_tool(number, result))
        return result

    return run


hooks.wrap(*GRAPHS, anatomy.Pregel, "astream", _astream)
hooks.wrap(*GRAPHS, anatomy.Pregel, "stream", _stream)
hooks.wrap(*MODELS, BaseChatModel, "_agenerate_with_cache", _agenerate)
hooks.wrap(*MODELS, BaseChatModel, "_generate_with_cache", _generate)
hooks.wrap(*MODELS, BaseChatModel, "astream", _model_astream)
hooks.wrap(*MODELS, BaseChatModel, "stream", _model_stream)
hooks.wrap(*MODELS, BaseTool, "arun", _arun)
hooks.wrap(*MODELS, BaseTool, "run", _run)
