"""Tools, tool choice and output format: Responses JSON ⇄ canonical (openai 3.52 shapes)."""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.events.items import Json
from tailrace.events.request import OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.protocols.fields import Object, as_list, as_object

NAMED = ("function", "custom")
_MCP = "mcp:"


def decode_tools(value: Json) -> tuple[ToolSpec, ...]:
    """`tools`: functions, custom tools, and whatever else a provider runs itself."""
    return tuple(
        _decode_tool(tool, f"tools[{n}]") for n, tool in enumerate(as_list(value, "tools"))
    )


def _decode_tool(value: Json, where: str) -> ToolSpec:
    tool = as_object(value, where)
    kind = tool.get("type")
    if kind not in NAMED:
        if not isinstance(kind, str):
            raise BadRequest(f"{where} needs a type.", param=f"{where}.type")
        return ToolSpec(kind="provider", name=_provider_name(tool), raw=tool)
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{where} needs a name.", param=f"{where}.name")
    parameters, strict = tool.get("parameters"), tool.get("strict")
    if parameters is not None:
        as_object(parameters, f"{where}.parameters")
    if strict is not None and not isinstance(strict, bool):
        raise BadRequest(f"{where}.strict must be a boolean.", param=f"{where}.strict")
    return ToolSpec(
        kind="custom" if kind == "custom" else "function",
        name=name,
        description=str(tool.get("description") or ""),
        parameters=parameters,
        strict=strict,
        raw={"format": tool["format"]} if "format" in tool else {},
    )


def encode_tools(tools: tuple[ToolSpec, ...]) -> list[Object]:
    """Tools as a Responses server takes them, and as a Response object echoes them."""
    return [_encode_tool(tool) for tool in tools]


def _encode_tool(tool: ToolSpec) -> Object:
    if tool.kind == "provider":
        return dict(tool.raw)
    encoded: Object = {"type": tool.kind, "name": tool.name, **_form(tool)}
    if tool.description:
        encoded["description"] = tool.description
    if tool.kind == "function":
        encoded["parameters"] = tool.parameters
        encoded["strict"] = bool(tool.strict)
    return encoded


def decode_choice(value: Json) -> ToolChoice:
    """`tool_choice`: a mode, one tool by name, or a list of allowed tools."""
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    if isinstance(value, dict):
        choice = as_object(value, "tool_choice")
        kind, name = choice.get("type"), choice.get("name")
        if kind == "allowed_tools" and isinstance(choice.get("tools"), list):
            names = tuple(_allowed(tool) for tool in as_list(choice["tools"], "tool_choice.tools"))
            return ToolChoice(
                mode="required" if choice.get("mode") == "required" else "auto", names=names
            )
        if kind in NAMED and isinstance(name, str):
            return ToolChoice(mode="required", names=(name,))
        if isinstance(kind, str):
            return ToolChoice(mode="required", names=(_provider_name(choice),))
    raise BadRequest(
        "tool_choice must be 'auto', 'none', 'required', a tool, or allowed_tools.",
        param="tool_choice",
    )


def _allowed(value: Json) -> str:
    tool = as_object(value, "tool_choice.tools")
    name = tool.get("name")
    if tool.get("type") not in NAMED and isinstance(tool.get("type"), str):
        return _provider_name(tool)
    if not isinstance(name, str):
        raise BadRequest("tool_choice.tools: each needs a name.", param="tool_choice.tools")
    return name


def _provider_name(tool: Object) -> str:
    """What tells a provider's tools apart: their type, and the server of an `mcp` one."""
    if tool["type"] == "mcp":
        return f"{_MCP}{tool.get('server_label', '')}"
    return str(tool["type"])


def encode_choice(settings: Settings) -> Json:
    """`tool_choice` in Responses form."""
    choice = settings.tool_choice
    if not choice.names:
        return choice.mode
    kinds = {tool.name: tool.kind for tool in settings.tools}
    tools = [_reference(name, kinds.get(name, "function")) for name in choice.names]
    if len(tools) == 1 and choice.mode == "required":
        return tools[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}


def _reference(name: str, kind: str) -> Object:
    if name.startswith(_MCP):
        return {"type": "mcp", "server_label": name.removeprefix(_MCP)}
    return {"type": name} if kind == "provider" else {"type": kind, "name": name}


def decode_format(value: Json) -> OutputFormat:
    """`text.format`."""
    form = as_object(value, "text.format")
    match form.get("type"):
        case "text":
            return OutputFormat()
        case "json_object":
            return OutputFormat(kind="json_object")
        case "json_schema":
            name, schema = form.get("name"), form.get("schema")
            if not isinstance(name, str):
                raise BadRequest("text.format.name must be a string.", param="text.format.name")
            strict = form.get("strict")
            return OutputFormat(
                kind="json_schema",
                name=name,
                schema=as_object(schema, "text.format.schema"),
                strict=strict if isinstance(strict, bool) else None,
                description=str(form.get("description") or ""),
            )
        case other:
            raise BadRequest(
                f"text.format.type must be text, json_object or json_schema, not {other!r}.",
                param="text.format.type",
            )


def encode_format(output: OutputFormat) -> Object:
    """`text.format` in Responses form."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    encoded: Object = {"type": "json_schema", "name": output.name, "schema": output.schema}
    if output.schema is None:
        encoded["schema"] = {}  # optional on Chat, but not here
    if output.strict is not None:
        encoded["strict"] = output.strict
    if output.description:
        encoded["description"] = output.description
    return encoded


def _form(tool: ToolSpec) -> Object:
    """What a custom tool takes. Functions have no more than their schema; the rest is another dialect's."""
    return tool.raw if tool.kind == "custom" else {}
