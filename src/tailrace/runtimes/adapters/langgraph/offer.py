"""What a model is offered: the names of its tools, and the client's tools and wishes on top.

A graph's model has its tools bound already, in its provider's own form; the model is asked to put the
client's into the same form.
"""

from __future__ import annotations

from typing import Any, cast

from langchain_core.language_models import BaseChatModel

from tailrace.events.request import Settings

FREE = (None, "auto", "any", "required")
"""Choices that leave it to the model which tool it calls."""


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
    """A call's options with what the client asked for. A model that has to call one tool is left to it."""
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
