"""Tools, tool choice and output format: Responses JSON ⇄ canonical (openai 3.52 shapes).

A tool or a choice that a client sent in this dialect is sent to a Responses server unchanged. Of other
dialects' tools, those that a provider runs are translated if there is an equivalent (`web_search_…` of
Messages); any other is rejected, and the error names it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tailrace.errors import BadRequest, NoForm
from tailrace.events.items import Json
from tailrace.events.request import OutputFormat, Settings, ToolChoice, ToolSpec
from tailrace.protocols.fields import Object, any_object, as_list, as_object, without_empty
from tailrace.protocols.foreign import tool_place
from tailrace.protocols.offered import Names

DIALECT = "responses"
FUNCTION_TYPES = ("function", "custom")
_MCP = "mcp:"
_SEARCH = "web_search_"
"""The prefix of the types of Messages' tool for web searches; a date follows."""
_ABSENT = object()

Form: TypeAlias = Literal["sent", "echoed"]
"""Whether tools are sent to a server, or shown in a Response object with all the fields that the types
require."""


def decode_tools(value: Json) -> tuple[ToolSpec, ...]:
    """Decode `tools`: functions, custom tools, and any tools that a provider runs itself."""
    return tuple(
        _decode_tool(tool, f"tools[{n}]") for n, tool in enumerate(as_list(value, "tools"))
    )


def _decode_tool(value: Json, where: str) -> ToolSpec:
    tool = as_object(value, where)
    kind = tool.get("type")
    if kind not in FUNCTION_TYPES:
        if not isinstance(kind, str):
            raise BadRequest(f"{where} needs a type.", param=f"{where}.type")
        return ToolSpec(kind="provider", name=_provider_name(tool), raw=tool, origin=DIALECT)
    name = tool.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest(f"{where} needs a name.", param=f"{where}.name")
    parameters, strict = tool.get("parameters"), tool.get("strict")
    if parameters is not None:
        as_object(parameters, f"{where}.parameters")
    if strict is not None and not isinstance(strict, bool):
        raise BadRequest(f"{where}.strict must be a boolean.", param=f"{where}.strict")
    spec = ToolSpec(
        kind="custom" if kind == "custom" else "function",
        name=name,
        description=str(tool.get("description") or ""),
        parameters=parameters,
        strict=strict,
        origin=DIALECT,
    )
    form = _declaration(spec, "sent")
    raw = {key: value for key, value in tool.items() if form.get(key, _ABSENT) != value}
    return msgspec.structs.replace(spec, raw=raw)


def encode_tools(
    settings: Settings, form: Form = "sent", names: Names | None = None
) -> list[Object]:
    """Encode tools for a Responses server, with these names, or for a Response object. Raises `NoForm` for a
    tool that such a server does not have."""
    return [
        _encode_tool(_rename(tool, names), n, settings, form)
        for n, tool in enumerate(settings.tools)
    ]


def _rename(tool: ToolSpec, names: Names | None) -> ToolSpec:
    if names is None or tool.kind == "provider":
        return tool
    return msgspec.structs.replace(tool, name=names.of("", tool.name))


def _encode_tool(tool: ToolSpec, n: int, settings: Settings, form: Form) -> Object:
    if tool.kind != "provider":
        return {**_declaration(tool, form), **_own(tool)}
    origin = tool.origin or settings.origin
    if origin in (DIALECT, "") or form == "echoed":
        return dict(tool.raw)
    kind, place = str(tool.raw.get("type")), tool_place(settings, n)
    if kind.startswith(_SEARCH):
        return _search(tool.raw, place)
    message = f"A model server that speaks Responses has no tool of type {kind}."
    raise NoForm(message, param=f"{place}.type")


def _declaration(tool: ToolSpec, form: Form) -> Object:
    """The canonical fields of a tool; for a tool from this dialect only those that it had."""
    fields: Object = {"type": tool.kind, "name": tool.name}
    if tool.description:
        fields["description"] = tool.description
    if tool.kind == "function":
        full = tool.origin != DIALECT or form == "echoed"
        if full or tool.parameters is not None:
            fields["parameters"] = tool.parameters
        if full or tool.strict is not None:
            fields["strict"] = bool(tool.strict)
    return fields


def _own(tool: ToolSpec) -> Object:
    """The additional fields of a tool from this dialect; for another dialect's custom tool the format of its
    text, which Chat nests one level deeper."""
    if tool.origin == DIALECT:
        return tool.raw
    form = any_object(tool.raw.get("format")) if tool.kind == "custom" else {}
    grammar = form.get("grammar")
    if isinstance(grammar, dict):
        return {"format": {"type": "grammar", **grammar}}
    return {"format": form} if form else {}


def _search(tool: Object, place: str) -> Object:
    """Translate Messages' tool for web searches; its limits on counts have no counterpart."""
    if tool.get("blocked_domains"):
        raise NoForm(
            "A model server that speaks Responses cannot leave out domains (blocked_domains).",
            param=f"{place}.blocked_domains",
        )
    filters = without_empty({"allowed_domains": tool.get("allowed_domains")})
    return {
        "type": "web_search",
        **without_empty({"filters": filters, "user_location": tool.get("user_location")}),
    }


def decode_choice(value: Json) -> ToolChoice:
    """Decode `tool_choice`: a mode, one tool by name, or a list of allowed tools."""
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    if isinstance(value, dict):
        choice = as_object(value, "tool_choice")
        kind = choice.get("type")
        if kind == "allowed_tools" and isinstance(choice.get("tools"), list):
            allowed = as_list(choice["tools"], "tool_choice.tools")
            return ToolChoice(
                mode="required" if choice.get("mode") == "required" else "auto",
                names=tuple(
                    _choice_name(t, f"tool_choice.tools[{n}]") for n, t in enumerate(allowed)
                ),
                raw=choice,
            )
        if isinstance(kind, str) and kind != "allowed_tools":
            return ToolChoice(
                mode="required", names=(_choice_name(choice, "tool_choice"),), raw=choice
            )
    raise BadRequest(
        "tool_choice must be 'auto', 'none', 'required', a tool, or allowed_tools.",
        param="tool_choice",
    )


def _choice_name(value: Json, where: str) -> str:
    """The name of the tool that a choice refers to. The name of a function must be next to its `type`, as in
    OpenAI's API: accepting the nested form of Chat Completions could select a tool that the client did not
    name."""
    tool = as_object(value, where)
    kind, name = tool.get("type"), tool.get("name")
    if not isinstance(kind, str):
        raise BadRequest(f"{where} needs a type.", param=f"{where}.type")
    if kind not in FUNCTION_TYPES:
        return _provider_name(tool)
    if not isinstance(name, str) or not name:
        raise BadRequest(f"Missing required parameter: '{where}.name'.", param=f"{where}.name")
    return name


def _provider_name(tool: Object) -> str:
    """The key of a provider's tool: its type, or the server's label for an `mcp` tool."""
    if tool["type"] == "mcp":
        return f"{_MCP}{tool.get('server_label', '')}"
    return str(tool["type"])


def encode_choice(settings: Settings, names: Names | None = None) -> Json:
    """Encode `tool_choice`; `names` as for `encode_tools`."""
    choice = settings.tool_choice
    if choice.raw and settings.origin == DIALECT:
        return choice.raw
    if not choice.names:
        return choice.mode
    kinds = {tool.name: tool.kind for tool in settings.tools}
    tools: list[Object] = []
    for name in choice.names:
        kind = kinds.get(name, "function")
        if names is not None and kind != "provider" and not name.startswith(_MCP):
            name = names.of("", name)
        tools.append(_reference(name, kind))
    if len(tools) == 1 and choice.mode == "required":
        return tools[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}


def _reference(name: str, kind: str) -> Object:
    if name.startswith(_MCP):
        return {"type": "mcp", "server_label": name.removeprefix(_MCP)}
    return {"type": name} if kind == "provider" else {"type": kind, "name": name}


def decode_format(value: Json) -> OutputFormat:
    """Decode `text.format`."""
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
    """Encode `text.format`."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    format: Object = {"type": "json_schema", "name": output.name, "schema": output.schema}
    if output.schema is None:
        format["schema"] = {}  # optional in Chat, but required here
    if output.strict is not None:
        format["strict"] = output.strict
    if output.description:
        format["description"] = output.description
    return format
