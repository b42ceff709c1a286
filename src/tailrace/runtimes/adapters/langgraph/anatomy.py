"""The properties of a compiled graph: its tools, those that need approval, the form of its answer; and the
tools and settings of its models, with the client's.

A graph's model has its tools bound already, in its provider's own form; the model converts the client's
tools into the same form.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel as Pregel  # pyright: ignore[reportMissingTypeStubs]

from tailrace.events.items import Json
from tailrace.events.request import Settings

Graph: TypeAlias = Pregel[Any, Any, Any, Any]

FREE = (None, "auto", "any", "required")
"""Choices that do not name a tool."""

RETRY = "retry"
END, NO_STREAM = "__end__", "nostream"
"""The framework's names: of the end of a graph, and of the tag of models that are not streamed."""
DEFAULT_NAME = "LangGraph"
"""The framework's name of a graph without a name."""


def name_of(graph: Graph) -> str:
    """The name that its author gave it, `""` without one."""
    name = str(graph.name or "")
    return "" if name == DEFAULT_NAME else name


def has_messages(graph: Graph) -> bool:
    """Whether its state is a conversation."""
    return "messages" in _channels(graph)


def approval_tools(graph: Graph) -> set[str]:
    """The tools whose calls `HumanInTheLoopMiddleware` interrupts for approval."""
    tools: set[str] = set()
    for node in graph.nodes.values():
        owner = getattr(getattr(node.bound, "func", None), "__self__", None)
        if isinstance(asks := getattr(owner, "interrupt_on", None), dict):
            tools.update(cast("dict[str, Any]", asks))
    return tools


def runnable(graph: Graph) -> set[str]:
    """The tools that its tool nodes run."""
    names: set[str] = set()
    for node in graph.nodes.values():
        if isinstance(tools := getattr(node.bound, "tools_by_name", None), dict):
            names.update(cast("dict[str, Any]", tools))
    return names


def argument_schema(graph: Graph, name: str) -> Json:
    """The JSON schema of a tool's arguments as a model gets it; None for a tool that its nodes do not run."""
    for node in graph.nodes.values():
        tools = getattr(node.bound, "tools_by_name", None)
        tool = cast("dict[str, Any]", tools).get(name) if isinstance(tools, dict) else None
        if isinstance(tool, BaseTool):
            schema = cast("Any", tool.tool_call_schema)
            return cast("Json", schema if isinstance(schema, dict) else schema.model_json_schema())
    return None


def answer_tools(graph: Graph, model_tools: set[str]) -> set[str]:
    """The tools of a model whose call is the answer in a structured form."""
    return model_tools - runnable(graph) if "structured_response" in _channels(graph) else set()


def answering_nodes(graph: Graph) -> set[str]:
    """The nodes of a graph after which it may end: an agent in such a node speaks to the user. One that
    always hands its result to another node does not, as the workers of a supervisor."""
    builder = getattr(graph, "builder", None)
    if builder is None:
        return set()
    targets: dict[str, set[str]] = {name: set() for name in builder.nodes}
    for start, end in builder.edges:
        targets.setdefault(start, set()).add(end)
    for starts, end in builder.waiting_edges:
        for start in starts:
            targets.setdefault(start, set()).add(end)
    for name, branches in builder.branches.items():
        for branch in branches.values():
            targets.setdefault(name, set()).update((branch.ends or {END: END}).values())
    return {name for name, node in builder.nodes.items() if _may_end(node, targets[name])}


def _may_end(node: Any, targets: set[str]) -> bool:
    """Whether a graph may end after a node with these static targets. Its commands (`ends`) may go
    elsewhere: a graph in a node (of a swarm) ends without one, a function that declares them does not."""
    if END in targets or END in node.ends:
        return True
    return not targets and (not node.ends or isinstance(node.runnable, Pregel))


def is_internal(graph: Graph, options: dict[str, Any], tags: Collection[str]) -> bool:
    """Whether a model call is no answer to the user: its author says so (`nostream`), or the model must reply
    in a structured form that only the graph reads."""
    if NO_STREAM in tags:
        return True
    if "structured_response" in _channels(graph):
        return False
    names = tool_names(options)
    must_call = options.get("tool_choice") not in (None, "auto", "none")
    return bool(options.get("response_format")) or (
        must_call and bool(names) and not names & runnable(graph)
    )


def is_repeatable(tool: BaseTool) -> bool:
    """Whether a call that a crash interrupted may be made again.

    Its author says so (`metadata={"after_crash": "retry"}`), or it is the tool by which a deep agent
    dispatches subagents, and the subagent had not started.
    """
    does = getattr(tool, "coroutine", None)
    dispatches = getattr(does, "__module__", "") == "deepagents.middleware.subagents"
    return dispatches or (tool.metadata or {}).get("after_crash") == RETRY


def _channels(graph: Graph) -> dict[str, Any]:
    return cast("dict[str, Any]", cast("Any", graph).channels)


def tool_names(options: dict[str, Any]) -> set[str]:
    """The names of the tools bound to a model."""
    names: set[str] = set()
    for tool in cast("list[Any]", options.get("tools") or []):
        if isinstance(tool, dict):
            spec = cast("dict[str, Any]", tool)
            name = spec.get("name") or cast("dict[str, Any]", spec.get("function") or {}).get(
                "name"
            )
        else:
            name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
        if name:
            names.add(str(name))
    return names


def with_client_options(
    model: BaseChatModel, settings: Settings, options: dict[str, Any]
) -> dict[str, Any]:
    """A call's options with those of the client's request. A model that must call one tool keeps its
    choice."""
    parameters = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_output_tokens,
    }
    more: dict[str, Any] = {name: value for name, value in parameters.items() if value is not None}
    functions: list[dict[str, Any]] = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in settings.tools
        if tool.kind == "function"
    ]
    if functions and options.get("tool_choice") in FREE:
        bound = cast("dict[str, Any]", getattr(model.bind_tools(functions), "kwargs", {}))
        theirs = cast("list[Any]", options.get("tools") or [])
        tools = [*theirs, *cast("list[Any]", bound.get("tools") or [])]
        more = {**bound, **more, "tools": tools}
    return {**options, **more}
