"""Tools, tool choice and response format: Chat Completions JSON ⇄ canonical."""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.events.items import Json
from tailrace.events.request import OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.protocols.fields import Object, as_list, as_object, given, nested, optional, text


def decode_tools(value: Json) -> tuple[ToolSpec, ...]:
    """`tools`: functions and custom tools."""
    return tuple(
        _decode_tool(as_object(tool, f"tools[{n}]"), f"tools[{n}]")
        for n, tool in enumerate(as_list(value, "tools"))
    )


def _decode_tool(tool: Object, where: str) -> ToolSpec:
    kind = tool.get("type", "function")
    if kind not in ("function", "custom"):
        if not isinstance(kind, str):
            raise BadRequest(f"{where}.type must be a string.", param=f"{where}.type")
        return ToolSpec(kind="provider", name=kind, raw=tool)
    body, place = nested(tool, kind), f"{where}.{kind}"
    parameters = body.get("parameters")
    return ToolSpec(
        kind="custom" if kind == "custom" else "function",
        name=text(body, "name", place),
        description=optional(body, "description", str, default="", where=place),
        parameters=None if parameters is None else as_object(parameters, f"{place}.parameters"),
        strict=optional(body, "strict", bool, default=None, where=place),
        raw=given({"format": body.get("format")}),
    )


def encode_tools(tools: tuple[ToolSpec, ...]) -> list[Object]:
    """Tools as a chat server takes them; tools of other dialects' providers are left out."""
    return [_encode_tool(tool) for tool in tools if tool.kind != "provider"]


def _encode_tool(tool: ToolSpec) -> Object:
    body: Object = {"name": tool.name, **given({"description": tool.description}), **_form(tool)}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    if tool.strict is not None:
        body["strict"] = tool.strict
    return {"type": tool.kind, tool.kind: body}


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


def encode_choice(settings: Settings) -> Json:
    """`tool_choice` in Chat form."""
    choice = settings.tool_choice
    if not choice.names:
        return choice.mode
    kinds = {tool.name: tool.kind for tool in settings.tools}
    tools: list[Object] = []
    for name in choice.names:
        kind = "custom" if kinds.get(name) == "custom" else "function"
        tools.append({"type": kind, kind: {"name": name}})
    if len(tools) == 1 and choice.mode == "required":
        return tools[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


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


def _form(tool: ToolSpec) -> Object:
    """What a custom tool takes. Functions have no more than their schema; the rest is another dialect's."""
    return tool.raw if tool.kind == "custom" else {}
