"""Tools and the choice among them: a client's JSON ⇄ canonical (anthropic 2.11's `ToolUnionParam`).

A server of this dialect gets its client's tools unchanged. A server of another dialect gets functions,
including those of a namespace and those that a later item brings (`events/tools.py`), and custom tools as
functions, under names that it accepts (`protocols/offered.py`); tools that another provider runs are
omitted or refused (`protocols/foreign.py`), and a choice that requires one is refused.
"""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.events.items import Json
from tailrace.events.request import ModelRequest, Settings, ToolChoice, ToolSpec
from tailrace.events.tools import ToolDeclaration, declarations
from tailrace.protocols.anthropic_messages.parts import words
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    optional,
    text,
    without_empty,
)
from tailrace.protocols.foreign import no_choice
from tailrace.protocols.offered import INPUT, Names, OfferedTools

TOOL_FIELDS = ("name", "description", "input_schema")
"""Fields of a tool in all dialects; others (also `strict`) go to servers of this dialect only."""
NO_SCHEMA: Object = {"type": "object", "properties": {}}


def decode(value: Json) -> tuple[ToolSpec, ...]:
    """`tools`: functions, and tools that the provider runs or knows by their type."""
    tools = () if value is None else as_list(value, "tools")
    return tuple(
        _decode(as_object(tool, f"tools.{n}"), f"tools.{n}") for n, tool in enumerate(tools)
    )


def _decode(tool: Object, where: str) -> ToolSpec:
    kind = tool.get("type")
    if kind is not None and not isinstance(kind, str):
        raise BadRequest(f"{where}.type must be a string.", param=f"{where}.type")
    if kind not in (
        None,
        "custom",
    ):  # not all tools have names: `mcp_toolset` has that of its server
        name = optional(tool, "name", str, default="", where=where)
        return ToolSpec(kind="provider", name=name or kind, raw=tool, origin=DIALECT)
    description = optional(tool, "description", str, default="", where=where)
    fields = TOOL_FIELDS if description else ("name", "input_schema")
    return ToolSpec(
        name=text(tool, "name", where),
        description=description,
        parameters=as_object(tool.get("input_schema"), f"{where}.input_schema"),
        strict=optional(tool, "strict", bool, default=None, where=where),
        raw={name: value for name, value in tool.items() if name not in fields},
        origin=DIALECT,
    )


def decode_choice(choice: Object) -> ToolChoice:
    """`tool_choice`."""
    own = dict(choice)
    match choice.get("type"):
        case None | "auto":
            return ToolChoice(raw=own)
        case "none":
            return ToolChoice(mode="none", raw=own)
        case "any":
            return ToolChoice(mode="required", raw=own)
        case "tool":
            name = text(choice, "name", "tool_choice")
            return ToolChoice(mode="required", names=(name,), raw=own)
        case other:
            raise BadRequest(f"tool_choice.type: {other!r} is not known", param="tool_choice.type")


def encode(request: ModelRequest, names: Names) -> Object:
    """`tools` and `tool_choice` for a Messages server, without empty ones. Raises `NoForm` if the choice
    requires a tool that this server is not offered."""
    settings, pairs = request.settings, _all(request, names)
    tools, choice = [entry for _, entry in pairs], settings.tool_choice
    if choice.raw and settings.origin == DIALECT:
        return without_empty({"tools": tools, "tool_choice": choice.raw})
    if choice.names:
        choices = [
            entry for tool, entry in pairs if (tool.namespace or tool.spec.name) in choice.names
        ]
        if not choices and choice.mode == "required":
            raise no_choice(settings, DIALECT)
        if choice.mode == "required" and len(choice.names) == len(choices) == 1:
            only = {"type": "tool", "name": choices[0]["name"]}
            return {"tools": tools, "tool_choice": _alone(only, settings)}
        tools = choices
    if not tools:
        if choice.mode == "required":
            raise no_choice(settings, DIALECT)
        return {}
    form = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    form = _alone(form, settings)
    return {
        "tools": tools,
        **without_empty({"tool_choice": form if form != {"type": "auto"} else None}),
    }


def offered_tools(request: ModelRequest, names: Names) -> dict[str, OfferedTools]:
    """The client's tools behind the offered functions, where they differ."""
    pairs = [
        (entry, names.stands_for(tool, as_function=True))
        for tool, entry in _all(request, names)
        if tool.spec.kind != "provider"
    ]
    return {entry["name"]: stands for entry, stands in pairs if stands is not None}


def _all(request: ModelRequest, names: Names) -> list[tuple[ToolDeclaration, Object]]:
    """The tools for the server: all but those that only another dialect's providers run."""
    settings = request.settings
    return [
        (tool, _encode_offered(tool.spec, names.of(*tool.key), settings))
        for tool in declarations(settings.tools, request.items)
        if tool.spec.kind != "provider" or (tool.spec.origin or settings.origin) == DIALECT
    ]


def _alone(form: Object, settings: Settings) -> Object:
    """The choice, and whether parallel calls are allowed."""
    alone = settings.parallel_tool_calls is False and form["type"] != "none"
    return {**form, "disable_parallel_tool_use": True} if alone else form


def _encode_offered(tool: ToolSpec, name: str, settings: Settings) -> Object:
    if tool.kind == "provider":
        return dict(tool.raw)
    if tool.kind == "custom":
        return _as_function(name, tool.description, tool.raw)
    ours = (tool.origin or settings.origin) == DIALECT
    keeps_schema = ours and tool.parameters is not None
    schema: Json = tool.parameters if keeps_schema else _schema(tool.parameters)
    return {**_function(name, tool.description, schema), **(tool.raw if ours else {})}


def _function(name: str, description: str, schema: Json) -> Object:
    return {"name": name, "input_schema": schema, **without_empty({"description": description})}


def _as_function(name: str, description: str, tool: Object) -> Object:
    """A custom tool, whose input is free text: a function with the text as its only argument."""
    form = any_object(tool.get("format"))
    grammar = any_object(form.get("grammar")) or form
    sentences = [description, "The input is free text."]
    if definition := words(grammar.get("definition")):
        sentences.append(f"It follows this {words(grammar.get('syntax'))} grammar:\n{definition}")
    return _function(name, "\n\n".join(filter(None, sentences)), dict(INPUT))


def _schema(parameters: Json) -> Object:
    """A schema of arguments in the form that the API requires: that of an object."""
    return {**NO_SCHEMA, **parameters} if parameters else NO_SCHEMA
