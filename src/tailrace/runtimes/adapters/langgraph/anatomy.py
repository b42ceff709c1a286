"""What can be seen of a compiled graph from outside: its tools, which of them need a yes, how it answers."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel as Pregel  # pyright: ignore[reportMissingTypeStubs]

Graph: TypeAlias = Pregel[Any, Any, Any, Any]

RETRY = "retry"
DEFAULT_NAME = "LangGraph"
"""What the framework calls a graph that nobody named."""


def name_of(graph: Graph) -> str:
    """The name its maker gave it, `""` without one."""
    name = str(graph.name or "")
    return "" if name == DEFAULT_NAME else name


def has_messages(graph: Graph) -> bool:
    """Whether its state is a conversation."""
    return "messages" in _channels(graph)


def approval_tools(graph: Graph) -> set[str]:
    """The tools whose calls `HumanInTheLoopMiddleware` puts before a person."""
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


def answer_tools(graph: Graph, model_tools: set[str]) -> set[str]:
    """Of the tools that a model is offered, those whose call is the answer in a form of its own."""
    return model_tools - runnable(graph) if "structured_response" in _channels(graph) else set()


def is_repeatable(tool: BaseTool) -> bool:
    """Whether a call that a crash cut off may be made again.

    Its maker says so (`metadata={"after_crash": "retry"}`), or it is the tool by which a deep agent lets
    others work, and the agent had not begun.
    """
    does = getattr(tool, "coroutine", None)
    dispatches = getattr(does, "__module__", "") == "deepagents.middleware.subagents"
    return dispatches or (tool.metadata or {}).get("after_crash") == RETRY


def _channels(graph: Graph) -> dict[str, Any]:
    return cast("dict[str, Any]", cast("Any", graph).channels)
