"""Tools and the choice among them: a client's JSON ⇄ canonical (anthropic 2.11's `ToolUnionParam`).

A server of this dialect gets its client's tools as they came. Of another dialect's it is offered functions,
also those of a namespace, and custom tools as functions (`protocols/offered.py`); tools that another
provider runs are left out, and a choice that demands one is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import BadRequest
from tailrace.events.items import Json, ProviderItem
from tailrace.events.request import ModelRequest, Settings, ToolChoice, ToolSpec
from tailrace.protocols.anthropic_messages.parts import refused, words
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
from tailrace.protocols.offered import INPUT, Offered, joined

MODELLED = ("name", "description", "input_schema")
"""Fields of a tool that servers of all dialects are told; the rest (`strict` as well) goes to our own."""
NO_SCHEMA: Object = {"type": "object", "properties": {}}


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


def encode(request: ModelRequest) -> Object:
    """`tools` and `tool_choice` for a Messages server, as far as there are any. Raises `ModelFailed` where
    the choice demands what this server is not offered."""
    settings = request.settings
    tools, choice = [made for made, _ in _all(request)], settings.tool_choice
    if choice.raw and settings.origin == DIALECT:
        return given({"tools": tools, "tool_choice": choice.raw})
    names = {name for wanted in choice.names for name in _meant(wanted, settings)}
    if choice.names:
        allowed = [tool for tool in tools if tool.get("name") in names]
        if not allowed and choice.mode == "required":
            wanted = ", ".join(map(repr, choice.names))
            said = f"A model server that speaks Messages cannot be offered the tool {wanted}."
            raise refused(said, "tool_choice")
        if choice.mode == "required" and len(choice.names) == len(allowed) == 1:
            only = {"type": "tool", "name": allowed[0]["name"]}
            return {"tools": tools, "tool_choice": _alone(only, settings)}
        tools = allowed
    if not tools:
        return {}
    form = {"type": {"auto": "auto", "none": "none", "required": "any"}[choice.mode]}
    form = _alone(form, settings)
    return {"tools": tools, **given({"tool_choice": form if form != {"type": "auto"} else None})}


def stand_ins(request: ModelRequest) -> dict[str, Offered]:
    """What functions stand for, as far as they are not the client's own."""
    return {made["name"]: stands for made, stands in _all(request) if stands is not None}


def _all(request: ModelRequest) -> list[tuple[Object, Offered | None]]:
    """What the server is offered: the request's tools, and those that a conversation of OpenAI's Responses
    brings in on the way, each name once."""
    settings = request.settings
    found = [each for tool in settings.tools for each in _offered(tool, settings)]
    names = {made.get("name") for made, _ in found}
    for item in request.items:
        if isinstance(item, ProviderItem) and item.data.get("type") == "additional_tools":
            for made, stands in _declared("", item.data.get("tools")):
                if made["name"] not in names:
                    names.add(made["name"])
                    found.append((made, stands))
    return found


def _alone(form: Object, settings: Settings) -> Object:
    """The choice, with whether several calls at once are wanted."""
    alone = settings.parallel_tool_calls is False and form["type"] != "none"
    return {**form, "disable_parallel_tool_use": True} if alone else form


def _offered(tool: ToolSpec, settings: Settings) -> Iterator[tuple[Object, Offered | None]]:
    """What a Messages server is offered of a tool: nothing of what only another dialect's servers run."""
    ours = (tool.origin or settings.origin) == DIALECT
    if tool.kind == "function":
        kept = ours and tool.parameters is not None
        schema: Json = tool.parameters if kept else _schema(tool.parameters)
        form = _function(tool.name, tool.description, schema)
        yield {**form, **(tool.raw if ours else {})}, None
    elif tool.kind == "custom":
        yield _as_function(tool.name, tool.description, tool.raw), Offered(tool.name, custom=True)
    elif ours:
        yield dict(tool.raw), None
    else:
        yield from _declared("", [tool.raw])


def _declared(namespace: str, tools: Json) -> Iterator[tuple[Object, Offered | None]]:
    """Tools as OpenAI's Responses declares them, those of a namespace by its name and their own."""
    for tool in map(any_object, as_list(tools, "tools") if isinstance(tools, list) else ()):
        name, said = words(tool.get("name")), words(tool.get("description"))
        whole = joined(namespace, name)
        match tool.get("type"):
            case "function" if name:
                stands = Offered(name, namespace) if namespace else None
                yield _function(whole, said, _schema(tool.get("parameters"))), stands
            case "custom" if name:
                yield _as_function(whole, said, tool), Offered(name, namespace, custom=True)
            case "namespace" if name and not namespace:
                yield from _declared(name, tool.get("tools"))
            case _:
                pass  # what a provider runs


def _function(name: str, description: str, schema: Json) -> Object:
    return {"name": name, "input_schema": schema, **given({"description": description})}


def _as_function(name: str, description: str, tool: Object) -> Object:
    """A custom tool, whose input is free text: the text is the function's one argument."""
    form = any_object(tool.get("format"))
    grammar = any_object(form.get("grammar")) or form
    said = [description, "The input is free text."]
    if definition := words(grammar.get("definition")):
        said.append(f"It follows this {words(grammar.get('syntax'))} grammar:\n{definition}")
    return _function(name, "\n\n".join(filter(None, said)), dict(INPUT))


def _schema(parameters: Json) -> Object:
    """A schema of arguments as the API wants it: that of an object."""
    return {**NO_SCHEMA, **parameters} if parameters else NO_SCHEMA


def _meant(name: str, settings: Settings) -> set[str]:
    """The offered tools that a name of a choice means: a namespace means all of its own."""
    found = {
        made["name"]
        for tool in settings.tools
        if tool.kind == "provider" and tool.raw.get("name") == name
        for made, _ in _offered(tool, settings)
        if "name" in made
    }
    return found or {name}
