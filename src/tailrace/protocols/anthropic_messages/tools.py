"""Tools and the choice among them: a client's JSON ⇄ canonical (anthropic 2.11's `ToolUnionParam`).

A server of this dialect gets its client's tools as they came. Of another dialect's it is offered functions,
also those of a namespace; custom tools, which are free text, and tools that another provider runs are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import BadRequest
from tailrace.events.items import Json, ToolCall
from tailrace.events.request import Settings, ToolChoice, ToolSpec
from tailrace.protocols.anthropic_messages.parts import refused
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    given,
    optional,
    text,
)

MODELLED = ("name", "description", "input_schema")
"""Fields of a tool that servers of all dialects are told; the rest (`strict` as well) goes to our own."""
NO_SCHEMA: Object = {"type": "object", "properties": {}}
LONGEST_NAME = 128
"""Characters of a tool's name at the API."""


def decode(value: Json) -> tuple[ToolSpec, ...]:
    """`tools`: functions, and what the provider runs or knows by its type."""
    tools = () if value is None else as_list(value, "tools")
    return tuple(
        _decode(as_object(tool, f"tools.{n}"), f"tools.{n}") for n, tool in enumerate(tools)
    )


def _decode(tool: Object, where: str) -> ToolSpec:
    kind = tool.get("type")
    if kind is not None and not isinstance(kind, str):
        raise BadRequest(f"{where}.type must be a string.", param=f"{where}.type")
    if kind not in (None, "custom"):  # not all have names: `mcp_toolset` is known by its server's
        name = optional(tool, "name", str, default="", where=where)
        return ToolSpec(kind="provider", name=name or kind, raw=tool, origin=DIALECT)
    description = optional(tool, "description", str, default="", where=where)
    kept = MODELLED if description else ("name", "input_schema")
    return ToolSpec(
        name=text(tool, "name", where),
        description=description,
        parameters=as_object(tool.get("input_schema"), f"{where}.input_schema"),
        strict=optional(tool, "strict", bool, default=None, where=where),
        raw={name: value for name, value in tool.items() if name not in kept},
        origin=DIALECT,
    )


def decode_choice(choice: Object) -> ToolChoice:
    """`tool_choice`."""
    kept = dict(choice)
    match choice.get("type"):
        case None | "auto":
            return ToolChoice(raw=kept)
        case "none":
            return ToolChoice(mode="none", raw=kept)
        case "any":
            return ToolChoice(mode="required", raw=kept)
        case "tool":
            name = text(choice, "name", "tool_choice")
            return ToolChoice(mode="required", names=(name,), raw=kept)
        case other:
            raise BadRequest(f"tool_choice.type: {other!r} is not known", param="tool_choice.type")


def encode(settings: Settings) -> Object:
    """`tools` and `tool_choice` for a Messages server, as far as there are any. Raises `ModelFailed` where
    the choice demands what this server is not offered."""
    offered = [each for tool in settings.tools for each in _offered(tool, settings)]
    choice = settings.tool_choice
    if choice.raw and settings.origin == DIALECT:
        return given({"tools": offered, "tool_choice": choice.raw})
    names = {name for wanted in choice.names for name in _meant(wanted, settings)}
    if choice.names:
        allowed = [tool for tool in offered if tool.get("name") in names]
        if not allowed and choice.mode == "required":
            wanted = ", ".join(map(repr, choice.names))
            raise refused(f"The model server cannot be offered the tool {wanted}.", "tool_choice")
        if choice.mode == "required" and len(choice.names) == len(allowed) == 1:
            only = {"type": "tool", "name": allowed[0]["name"]}
            return {"tools": offered, "tool_choice": _alone(only, settings)}
        offered = allowed
    if not offered:
        return {}
    form = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    form = _alone(form, settings)
    return {"tools": offered, **given({"tool_choice": form if form != {"type": "auto"} else None})}


def _alone(form: Object, settings: Settings) -> Object:
    """The choice, with whether several calls at once are wanted."""
    alone = settings.parallel_tool_calls is False and form["type"] != "none"
    return {**form, "disable_parallel_tool_use": True} if alone else form


def _offered(tool: ToolSpec, settings: Settings) -> Iterator[Object]:
    """What a Messages server is offered of a tool: nothing of what only another dialect's servers know."""
    ours = (tool.origin or settings.origin) == DIALECT
    if tool.kind == "function":
        kept = ours and tool.parameters is not None
        schema: Json = tool.parameters if kept else _schema(tool.parameters)
        form = {
            "name": tool.name,
            "input_schema": schema,
            **given({"description": tool.description}),
        }
        yield {**form, **(tool.raw if ours else {})}
    elif ours:
        yield dict(tool.raw)
    else:
        yield from _functions(tool)


def _functions(tool: ToolSpec) -> Iterator[Object]:
    """A namespace's functions (OpenAI's Responses), each by its namespace and its name."""
    inner = tool.raw.get("tools") if tool.raw.get("type") == "namespace" else None
    for each in as_list(inner, "tools") if isinstance(inner, list) else ():
        function = any_object(each)
        if function.get("type") == "function" and isinstance(function.get("name"), str):
            yield {
                "name": joined(str(tool.raw.get("name") or ""), function["name"]),
                "input_schema": _schema(function.get("parameters")),
                **given({"description": function.get("description")}),
            }


def _schema(parameters: Json) -> Object:
    """A schema of arguments as the API wants it: that of an object."""
    return {**NO_SCHEMA, **parameters} if parameters else NO_SCHEMA


def joined(namespace: str, name: str) -> str:
    """The one name of a namespace's function."""
    return f"{namespace}__{name}"[:LONGEST_NAME] if namespace else name


def called(call: ToolCall) -> str:
    """The name by which a call's tool is offered."""
    return joined(str(any_object(call.details.get("responses")).get("namespace") or ""), call.name)


def _meant(name: str, settings: Settings) -> set[str]:
    """The offered tools that a name of a choice means: a namespace means all of its own."""
    found = {
        each["name"]
        for tool in settings.tools
        if tool.kind == "provider" and tool.raw.get("name") == name
        for each in _offered(tool, settings)
        if "name" in each
    }
    return found or {name}
