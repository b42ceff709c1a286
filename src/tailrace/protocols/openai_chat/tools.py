"""Tools, tool choice and response format: Chat Completions JSON ⇄ canonical.

A tool that came in this dialect goes to a chat server as it came. Of other dialects' tools it is offered
functions, also those of a namespace (`protocols/offered.py`), and custom tools, where it has none as
functions. What another provider runs is left out; a choice that demands it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import BadRequest, ModelFailed
from tailrace.events.items import Json
from tailrace.events.request import OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    given,
    nested,
    objects,
    optional,
    text,
)
from tailrace.protocols.offered import INPUT, Offered, joined
from tailrace.protocols.openai_chat.messages import DIALECT
from tailrace.protocols.openai_chat.rules import OPENAI, Rules


def decode_tools(value: Json) -> tuple[ToolSpec, ...]:
    """`tools`: functions, custom tools, and what only some server knows."""
    return tuple(
        _decode_tool(as_object(tool, f"tools[{n}]"), f"tools[{n}]")
        for n, tool in enumerate(as_list(value, "tools"))
    )


def _decode_tool(tool: Object, where: str) -> ToolSpec:
    kind = tool.get("type", "function")
    if kind not in ("function", "custom"):
        if not isinstance(kind, str):
            raise BadRequest(f"{where}.type must be a string.", param=f"{where}.type")
        return ToolSpec(kind="provider", name=kind, raw=tool, origin=DIALECT)
    body, place = nested(tool, kind), f"{where}.{kind}"
    parameters = body.get("parameters")
    return ToolSpec(
        kind="custom" if kind == "custom" else "function",
        name=text(body, "name", place),
        description=optional(body, "description", str, default="", where=place),
        parameters=None if parameters is None else as_object(parameters, f"{place}.parameters"),
        strict=optional(body, "strict", bool, default=None, where=place),
        raw={
            **_rest(body, "name", "description", "parameters", "strict"),
            **given({TOOL: _rest(tool, "type", kind)}),
        },
        origin=DIALECT,
    )


TOOL = "tool"
"""In `ToolSpec.raw`: what a tool says beside its function; the rest is what the function says."""


def _rest(fields: Object, *known: str) -> Object:
    return {k: v for k, v in fields.items() if k not in known and v is not None}


def encode_tools(tools: tuple[ToolSpec, ...], rules: Rules = OPENAI) -> list[Object]:
    """Tools as a chat server takes them."""
    return [made for tool in tools for made, _ in _encode_tool(tool, rules)]


def offered(tools: tuple[ToolSpec, ...], rules: Rules) -> dict[str, Offered]:
    """What the server's functions stand for, as far as they are not the client's own."""
    found = [each for tool in tools for each in _encode_tool(tool, rules)]
    return {made[made["type"]]["name"]: stands for made, stands in found if stands is not None}


def _encode_tool(tool: ToolSpec, rules: Rules) -> Iterator[tuple[Object, Offered | None]]:
    if tool.kind == "provider":
        if tool.origin == DIALECT:
            yield dict(tool.raw), None
        elif tool.raw.get("type") == "namespace":
            yield from _namespace(tool.raw, rules)
        return
    own = tool.raw if tool.origin == DIALECT else {}
    beside, said = any_object(own.get(TOOL)), _rest(own, TOOL, "format")
    if tool.kind == "custom":
        body: Object = {"name": tool.name, **given({"description": tool.description})}
        form = any_object(tool.raw.get("format"))
        if rules.custom_tools == "function":
            yield _as_function(tool.name, tool.description, form), Offered(tool.name, custom=True)
            return
        body |= given({"format": _chat_format(form)})
        yield {"type": "custom", "custom": {**body, **said}, **beside}, None
        return
    yield {"type": "function", "function": {**_function(tool), **said}, **beside}, None


def _function(tool: ToolSpec) -> Object:
    body: Object = {"name": tool.name, **given({"description": tool.description})}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    if tool.strict is not None:
        body["strict"] = tool.strict
    return body


def _namespace(raw: Object, rules: Rules) -> Iterator[tuple[Object, Offered]]:
    """The tools of a namespace of OpenAI's Responses, each under one name."""
    namespace = str(raw.get("name") or "")
    for tool in objects(raw.get("tools")):
        name, kind = tool.get("name"), tool.get("type")
        if not isinstance(name, str) or kind not in ("function", "custom"):
            continue
        spec = ToolSpec(
            kind=kind,
            name=joined(namespace, name),
            description=str(tool.get("description") or ""),
            parameters=tool.get("parameters"),
            strict=tool["strict"] if isinstance(tool.get("strict"), bool) else None,
            raw=given({"format": tool.get("format")}),
        )
        for made, _ in _encode_tool(spec, rules):
            yield made, Offered(name, namespace, custom=kind == "custom")


def _as_function(name: str, description: str, form: Object) -> Object:
    """A custom tool for a server that has none: its text is the function's one argument."""
    grammar = any_object(form.get("grammar")) or form
    said = [description, "The input is free text."]
    if isinstance(grammar.get("definition"), str):
        said.append(
            f"It follows this {grammar.get('syntax', '')} grammar:\n{grammar['definition']}"
        )
    body = {"name": name, "description": "\n\n".join(filter(None, said)), "parameters": INPUT}
    return {"type": "function", "function": body}


def _chat_format(form: Object) -> Object:
    """What a custom tool takes, in Chat's form: Responses has the grammar's fields one level up."""
    if form.get("type") == "grammar" and "grammar" not in form:
        return {"type": "grammar", "grammar": _rest(form, "type")}
    return form


def decode_choice(value: Json) -> ToolChoice:
    """`tool_choice`: a mode, one tool by name, or a list of allowed tools."""
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    choice = as_object(value, "tool_choice")
    kind = choice.get("type")
    if kind in ("function", "custom"):
        name = text(nested(choice, kind), "name", f"tool_choice.{kind}")
        return ToolChoice(mode="required", names=(name,))
    if kind == "allowed_tools":
        allowed = nested(choice, "allowed_tools")
        named = decode_tools(allowed.get("tools") or [])
        return ToolChoice(
            mode="required" if allowed.get("mode") == "required" else "auto",
            names=tuple(tool.name for tool in named),
        )
    raise BadRequest(f"tool_choice has an unknown type {kind!r}.", param="tool_choice.type")


def encode_choice(settings: Settings, rules: Rules = OPENAI) -> Json:
    """`tool_choice` in Chat form. Raises `ModelFailed` where it demands what this server is not offered."""
    choice = settings.tool_choice
    if not choice.names:
        return choice.mode
    declared = encode_tools(settings.tools, rules)
    names = {name for wanted in choice.names for name in _meant(wanted, settings, rules)}
    tools = [
        {"type": kind, kind: {"name": name}}
        for tool in declared
        for kind in (tool["type"],)
        if (name := any_object(tool.get(kind)).get("name")) in names
    ]
    if not tools:
        wanted = ", ".join(map(repr, choice.names))
        raise ModelFailed(
            f"A model server that speaks Chat Completions cannot be offered the tool {wanted}.",
            code="invalid_prompt",
            status=400,
            param="tool_choice",
        )
    if len(tools) == 1 and choice.mode == "required":
        return tools[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _meant(name: str, settings: Settings, rules: Rules) -> Iterator[str]:
    """The offered names that a name of a choice means: a namespace means all of its own."""
    yield name
    for tool in settings.tools:
        if tool.kind == "provider" and tool.raw.get("name") == name:
            yield from (made[made["type"]]["name"] for made, _ in _namespace(tool.raw, rules))


def decode_format(value: Json) -> OutputFormat:
    """`response_format`."""
    form = as_object(value, "response_format")
    match form.get("type"):
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat(kind="json_object")
        case "json_schema":
            inner, place = nested(form, "json_schema"), "response_format.json_schema"
            schema = inner.get("schema")
            return OutputFormat(
                kind="json_schema",
                name=text(inner, "name", place),
                schema=None if schema is None else as_object(schema, f"{place}.schema"),
                strict=optional(inner, "strict", bool, default=None, where=place),
                description=optional(inner, "description", str, default="", where=place),
            )
        case other:
            raise BadRequest(
                f"response_format.type must be text, json_object or json_schema, not {other!r}.",
                param="response_format.type",
            )


def encode_format(output: OutputFormat) -> Object:
    """`response_format` in Chat form."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    inner: Object = {"name": output.name, **given({"description": output.description})}
    if output.schema is not None:
        inner["schema"] = output.schema
    if output.strict is not None:
        inner["strict"] = output.strict
    return {"type": "json_schema", "json_schema": inner}
