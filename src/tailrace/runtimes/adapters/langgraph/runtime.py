"""A LangGraph graph as a runtime: any compiled graph whose state has `messages`, `create_agent`, deep agents.

The graph runs with our saver (`saver.py`) instead of its own, under the run's name, and continues from its
last checkpoint; recorded results are played back to the step that is repeated. Its models, tools and
subgraphs are observed where they are started (`patches.py`).
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec
from langchain_core.messages import AIMessage, RemoveMessage
from langgraph.errors import GraphRecursionError
from langgraph.graph.message import (  # pyright: ignore[reportMissingTypeStubs]
    REMOVE_ALL_MESSAGES,
)
from langgraph.store.memory import InMemoryStore

from tailrace.errors import ConfigError, LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.runtimes.adapters.journal import ThreadStates
from tailrace.runtimes.adapters.langgraph import anatomy, patches
from tailrace.runtimes.adapters.langgraph.invocation import Graphs, LangGraphInvocation
from tailrace.runtimes.adapters.langgraph.memory import UserStore
from tailrace.runtimes.adapters.langgraph.messages import request_messages
from tailrace.runtimes.adapters.langgraph.saver import INTERRUPT, Saver
from tailrace.runtimes.adapters.playback import SCOPE, Scope
from tailrace.runtimes.adapters.run_values import Make, RunValues
from tailrace.runtimes.contract import Feature, RunContext, RuntimeCheckpoints
from tailrace.runtimes.current import current_run
from tailrace.runtimes.foreign import refusal
from tailrace.runtimes.node_lifecycle import ending, opening

assert patches  # imported for its patches

logger = logging.getLogger("tailrace.runtimes")
MAX_TURNS = 100
KIND = "langgraph"
"""The kind of the state that a graph leaves to the next turn."""
SHOWN = ("todos", "files")
"""The fields of deep agents' state besides messages, shown as custom events of these names."""


class LangGraphRuntime:
    """Runs `graph`, or the graph that it makes for each run (a factory as in `langgraph.json`). `input` makes
    its input from a request, `context` its run-time context, and `config` its `RunnableConfig`
    (`configurable`, tags, callbacks, `recursion_limit`), or is one (`run_values.py`). More than `max_turns`
    model replies of one of its graphs end the run as incomplete. Each turn of a conversation continues with
    the state that the graph had at the end of the turn before, unless not `keep_state`.

    `answer_nodes` are the nodes whose models and agents speak to the user; other nodes' texts are reasoning,
    their agents subagents. By default an agent speaks in a node after which the graph may end, and a
    model in every node, but not with the tag `nostream` or in a structured form that only the graph reads.
    """

    resumes: bool = True
    repeats: bool = True
    lacks: frozenset[Feature] = frozenset(get_args(Feature))

    def __init__(
        self,
        graph: object,
        name: str,
        *,
        input: Make | None = None,
        context: Make | None = None,
        config: Make | Mapping[str, Any] | None = None,
        max_turns: int = MAX_TURNS,
        keep_state: bool = True,
        answer_nodes: Sequence[str] = (),
    ) -> None:
        is_factory = inspect.isroutine(graph)
        self._graph = RunValues("the graph", _factory(graph) if is_factory else None)
        self._fixed_graph = None if is_factory else _graph_from(graph, name, input, answer_nodes)
        self._name = name
        self._input = input
        self._context = RunValues("context", context)
        self._config = RunValues("config", config if callable(config) else lambda _: config)
        self._max_turns = max_turns
        self._keep_state = keep_state
        self._answer_nodes = tuple(answer_nodes)
        self._store: RuntimeCheckpoints | None = None

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, self._name),)

    def keep_in(self, store: RuntimeCheckpoints) -> None:
        """The store of checkpoints."""
        self._store = store

    async def run(self, context: RunContext) -> None:
        if self._store is None:
            raise ConfigError(f"{self._name}: no place for checkpoints was set (keep_in)")
        context.emit(opening(context.state, self._name))
        saver = Saver(self._store.records, context.run, context.flush)
        await saver.open()
        states = ThreadStates(self._store.records)
        previous_run = context.request.previous_run if self._keep_state else ""
        if saver.is_new and (state := await states.load(previous_run, KIND)) is not None:
            await saver.adopt(state)
        before: set[str] = set()
        while True:
            values = await self._values(context)
            graphs = Graphs(context, saver, self._name, self._max_turns, self._answer_nodes)
            if await self._work(graphs, values):
                if self._keep_state:
                    exact = not graphs.has_client_calls
                    await states.save(context.run, KIND, saver.thread_state(exact=exact))
                context.emit(ending(context.state))
                return
            again = graphs.people.answered_interrupts()
            if context.answer_count == graphs.answers_at_stop and not again:
                return
            if again & before:
                raise ModelFailed("The graph does not take the answer to its interrupt.")
            before = again

    async def release(self, run: str) -> None:
        """A run has ended."""
        await self._context.release(run)
        await self._config.release(run)
        await self._graph.release(run)

    async def _values(self, context: RunContext) -> tuple[Any, dict[str, Any]]:
        """The run-time context of a run, and its configuration (a `RunnableConfig`)."""
        request = context.request
        theirs = dict(await self._config.get(context.run, request) or {})
        own = {**caller_fields(request), "thread_id": context.run}
        config = {
            **theirs,
            "configurable": {**theirs.get("configurable", {}), **own},
            "metadata": {**theirs.get("metadata", {}), **request.metadata},
        }
        return await self._context.get(context.run, request), config

    async def _graph_of(self, request: RunRequest, run: str) -> anatomy.Graph:
        """The graph, made for this run if it has a factory. Raises `ModelFailed` for a factory that fails or
        returns something else."""
        if self._fixed_graph is not None:
            return self._fixed_graph
        product = await self._graph.get(run, request)
        try:
            return _graph_from(product, self._name, self._input, self._answer_nodes)
        except ConfigError as error:
            raise ModelFailed(str(error)) from None

    async def _work(self, graphs: Graphs, values: tuple[Any, dict[str, Any]]) -> bool:
        """Let the graph work; False if only a person can continue it."""
        if graphs.people.at_breakpoint:
            return False
        token = SCOPE.set(Scope(graphs, None, None))
        try:
            task = asyncio.create_task(self._run(graphs, *values))
        finally:
            SCOPE.reset(token)
        try:
            await graphs.follow(task)
        finally:
            graphs.let_threads_go()
        if task.cancelled():
            return graphs.has_client_calls
        if error := task.exception():
            raise _failure(error, graphs) from error
        return task.result()

    async def _run(self, graphs: Graphs, context: Any, config: Any) -> bool:
        """True when the graph has ended."""
        saver, request = graphs.saver, graphs.context.request
        saver.answers = graphs.people.answers()
        graph = copy.copy(await self._graph_of(request, graphs.context.run))
        graph.checkpointer = saver
        if graph.store is None or type(graph.store) is InMemoryStore:
            graph.store = UserStore(current_run().memory)
        options: dict[str, Any] = {"stream_mode": ["updates", "custom"], "durability": "sync"}
        if self._context:
            options["context"] = context
        input = None if saver.has_checkpoint else self._input_of(request, saver)
        stopped = False
        async for mode, data in cast("Any", graph).astream(input, config, **options):
            await graphs.context.room()
            main = cast("LangGraphInvocation", graphs.main)
            if mode == "custom":
                main.emit(t.Custom("custom", _json(data)))
            elif INTERRUPT in data:
                stopped = True
                await main.on_interrupts(data[INTERRUPT])
            else:
                _show(main, data)
        state = await graph.aget_state(config)
        main = cast("LangGraphInvocation", graphs.main)
        if stopped:
            if not state.interrupts and state.next:
                place = cast("Any", state.config)["configurable"]
                graphs.people.stop_at_breakpoint(main, str(place["checkpoint_id"]))
            return False
        values = cast("object", state.values)
        messages = (
            cast("dict[str, Any]", values).get("messages") if isinstance(values, dict) else None
        )
        if messages and isinstance(messages[-1], AIMessage) and not graphs.has_client_calls:
            await main.conclude(messages[-1])
        return True

    def _input_of(self, request: RunRequest, saver: Saver) -> Any:
        """The input of a new run. The messages of a graph that continues a conversation are its own, unless
        the client's history is another: then they are replaced."""
        if self._input is not None:
            return self._input(request)
        if not saver.is_continued:
            return {"messages": request_messages(request)}
        if saver.is_exact and not request.history_differs and not request.instructions:
            return {"messages": request_messages(msgspec.structs.replace(request, history=()))}
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *request_messages(request)]}


def _graph_from(
    graph: object, name: str, input: Make | None, answer_nodes: Sequence[str]
) -> anatomy.Graph:
    if not isinstance(graph, anatomy.Pregel):
        kind = type(graph).__name__
        raise ConfigError(f"{name}: a langgraph {kind} is not a graph; compile it first")
    pregel = cast("anatomy.Graph", graph)
    if input is None and not anatomy.has_messages(pregel):
        raise ConfigError(f"{name}: the graph's state has no messages; say how with input=…")
    if unknown := [node for node in answer_nodes if node not in pregel.nodes]:
        raise ConfigError(f"{name}: answer_nodes: the graph has no node {unknown[0]!r}")
    return pregel


def _factory(function: Any) -> Make:
    """A factory of graphs as a function of the request: it gets the configuration of the run."""
    takes_config = bool(inspect.signature(function).parameters)

    def make(request: RunRequest) -> Any:
        return function({"configurable": caller_fields(request)}) if takes_config else function()

    return make


def caller_fields(request: RunRequest) -> dict[str, Any]:
    """The caller, under the names of `configurable` on LangGraph's platform
    (https://docs.langchain.com/langgraph-platform/auth), and the headers that the run keeps."""
    caller = request.caller
    permissions = list(caller.scopes)
    user = {**caller.claims, "identity": caller.user, "permissions": permissions}
    return {
        **request.headers,
        "langgraph_auth_user_id": caller.user,
        "langgraph_auth_permissions": permissions,
        "langgraph_auth_user": user,
    }


def _show(main: LangGraphInvocation, update: dict[str, Any]) -> None:
    """The changes of a step in a deep agent's state besides messages."""
    for changes in update.values():
        if isinstance(changes, dict):
            for name in SHOWN:
                if name in changes:
                    main.emit(t.Custom(name, _json(cast("Any", changes)[name])))


def _json(value: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=str))


def _failure(error: BaseException, graphs: Graphs) -> BaseException:
    """A framework's error as one of ours; a model server's text may have secrets and is removed."""
    if isinstance(error, GraphRecursionError):
        return LimitReached("max_turns")
    cause: BaseException | None = error
    while (
        cause is not None
        and not isinstance(cause, LimitReached)
        and cause not in graphs.model_errors
    ):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, LimitReached):
        return cause
    if cause is None or isinstance(error, ModelFailed):
        return error
    logger.error("run %s: the graph's model failed", graphs.context.run, exc_info=cause)
    status = getattr(cause, "status_code", None)
    if isinstance(status, int):
        return refusal(cause, status, "The agent's model")
    return ModelFailed(f"The agent's model failed: {type(cause).__name__}.")
