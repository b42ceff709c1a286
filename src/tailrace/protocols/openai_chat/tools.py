"""Tools, tool choice and response format: Chat Completions JSON ⇄ canonical.

A tool or a choice that a client sent in this dialect is sent to a chat server unchanged. Of other dialects'
tools the server is offered functions, including those of a namespace and those that are declared during the
conversation (`events/tools.py`), by names that it accepts (`protocols/offered.py`), and custom tools, as
functions if the server has no custom tools. Tools that another provider runs are left out or rejected
(`protocols/foreign.py`); a choice that requires such a tool is rejected. If the server does not accept a
choice among some tools (`Rules`), only these tools are offered.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.errors import BadRequest, NoForm
from tailrace.events.items import Json, Part
from tailrace.events.request import (
    ModelRequest,
    OutputFormat,
    Settings,
    ToolChoice,
    ToolSpec,
)
from tailrace.events.tools import ToolDeclaration, declarations
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    nested,
    optional,
    text,
    without_empty,
)
from tailrace.protocols.foreign import no_choice
from tailrace.protocols.offered import INPUT, Names, OfferedTools
from tailrace.protocols.openai_chat.messages import DIALECT
from tailrace.protocols.openai_chat.rules import OPENAI, Rules


def decode_tools(value: Json) -> tuple[ToolSpec, ...]:
    """Decode `tools`: functions, custom tools, and types that only some servers know."""
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
            **({"description": ""} if body.get("description") == "" else {}),
            **without_empty({TOOL: _rest(tool, "type", kind)}),
        },
        origin=DIALECT,
    )


TOOL = "tool"
"""The key in `ToolSpec.raw` for the additional fields of a tool; the other keys are those of its function."""


def _rest(fields: Object, *names: str) -> Object:
    return {k: v for k, v in fields.items() if k not in names and v is not None}


def encode(request: ModelRequest, names: Names, rules: Rules = OPENAI) -> Object:
    """Encode `tools` and `tool_choice` for a chat server; fields without a value are left out. Raises
    `ModelFailed` if the choice requires a tool that this server is not offered."""
    settings, pairs = request.settings, _all(request, names, rules)
    choice, tools = settings.tool_choice, [entry for _, entry in pairs]
    if _as_sent(settings, pairs, names, rules):
        return without_empty({"tools": tools, "tool_choice": choice.raw})
    if not pairs:
        if choice.mode == "required" and (choice.names or settings.origin != DIALECT):
            raise no_choice(settings, DIALECT)
        return without_empty({"tool_choice": _mode(choice) if settings.origin == DIALECT else None})
    if not choice.names:
        return {"tools": tools, **without_empty({"tool_choice": _mode(choice)})}
    choices = [entry for tool, entry in pairs if _is_meant(tool, choice)]
    if choice.mode == "required" and not choices:
        raise no_choice(settings, DIALECT)
    if choice.mode == "required" and len(choices) == 1:
        return {"tools": tools, "tool_choice": _pointer(choices[0])}
    if rules.allowed_tools and choices:
        allowed = {"mode": choice.mode, "tools": [_pointer(entry) for entry in choices]}
        return {
            "tools": tools,
            "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed},
        }
    return without_empty({"tools": choices, "tool_choice": _mode(choice)})


def offered_tools(request: ModelRequest, names: Names, rules: Rules) -> dict[str, OfferedTools]:
    """By the name of a function: the tools that it represents, if they differ from the client's own
    declaration."""
    as_function = rules.custom_tools == "function"
    pairs = [
        (entry, names.stands_for(tool, as_function=as_function))
        for tool, entry in _all(request, names, rules)
        if tool.spec.kind != "provider"
    ]
    return {entry[entry["type"]]["name"]: stands for entry, stands in pairs if stands is not None}


def _all(request: ModelRequest, names: Names, rules: Rules) -> list[tuple[ToolDeclaration, Object]]:
    """The tools that the server is offered: all but those that only providers of another dialect run."""
    settings = request.settings
    return [
        (tool, _encode_tool(tool.spec, names.of(*tool.key), rules))
        for tool in declarations(settings.tools, request.items)
        if tool.spec.kind != "provider" or (tool.spec.origin or settings.origin) == DIALECT
    ]


def _encode_tool(tool: ToolSpec, name: str, rules: Rules) -> Object:
    if tool.kind == "provider":
        return dict(tool.raw)
    own = tool.raw if tool.origin == DIALECT else {}
    beside, rest = any_object(own.get(TOOL)), _rest(own, TOOL, "format")
    if tool.kind == "custom":
        form = any_object(tool.raw.get("format"))
        if rules.custom_tools == "function":
            return _as_function(name, tool.description, form)
        body: Object = {"name": name, **without_empty({"description": tool.description})}
        body |= without_empty({"format": _chat_format(form)})
        return {"type": "custom", "custom": {**body, **rest}, **beside}
    return {"type": "function", "function": {**_function(tool, name), **rest}, **beside}


def _as_sent(
    settings: Settings, pairs: Sequence[tuple[ToolDeclaration, Object]], names: Names, rules: Rules
) -> bool:
    """Whether a choice in this dialect has the same meaning for a server that receives it unchanged."""
    raw = settings.tool_choice.raw
    if not raw or settings.origin != DIALECT:
        return False
    if raw.get("type") == "allowed_tools" and not rules.allowed_tools:
        return False
    as_function = rules.custom_tools == "function"
    return not any(names.stands_for(tool, as_function=as_function) for tool, _ in pairs)


def _is_meant(tool: ToolDeclaration, choice: ToolChoice) -> bool:
    """Whether a choice names a tool; a choice that names a namespace means all its tools."""
    return (tool.namespace or tool.spec.name) in choice.names


def _mode(choice: ToolChoice) -> str | None:
    return None if choice.mode == "auto" else choice.mode


def _pointer(tool: Object) -> Object:
    """The tool in the form in which a choice refers to it."""
    kind: str = tool["type"]
    return {
        "type": kind,
        **without_empty({kind: without_empty({"name": any_object(tool.get(kind)).get("name")})}),
    }


def no_form(what: str, param: str, part: Part | None = None) -> NoForm:
    """The error for a value that has no form in Chat Completions; the client receives status 400."""
    message = f"A model server that speaks Chat Completions {what}."
    return NoForm(message, param=param, part=part)


def _function(tool: ToolSpec, name: str) -> Object:
    body: Object = {"name": name, **without_empty({"description": tool.description})}
    if tool.parameters is not None:
        body["parameters"] = tool.parameters
    if tool.strict is not None:
        body["strict"] = tool.strict
    return body


def _as_function(name: str, description: str, form: Object) -> Object:
    """A custom tool as a function, for a server without custom tools: the text is the function's only
    argument."""
    grammar = any_object(form.get("grammar")) or form
    words = [description, "The input is free text."]
    if isinstance(grammar.get("definition"), str):
        words.append(
            f"It follows this {grammar.get('syntax', '')} grammar:\n{grammar['definition']}"
        )
    body = {"name": name, "description": "\n\n".join(filter(None, words)), "parameters": INPUT}
    return {"type": "function", "function": body}


def _chat_format(form: Object) -> Object:
    """The input format of a custom tool in Chat's form: in Responses the fields of the grammar are one level
    higher."""
    if form.get("type") == "grammar" and "grammar" not in form:
        return {"type": "grammar", "grammar": _rest(form, "type")}
    return form


def decode_choice(value: Json) -> ToolChoice:
    """Decode `tool_choice`: a mode, one tool by name, or a list of allowed tools."""
    if value in ("auto", "none", "required"):
        return ToolChoice(mode=value)
    choice = as_object(value, "tool_choice")
    kind = choice.get("type")
    if kind in ("function", "custom"):
        name = text(nested(choice, kind), "name", f"tool_choice.{kind}")
        return ToolChoice(mode="required", names=(name,), raw=choice)
    if kind == "allowed_tools":
        allowed = nested(choice, "allowed_tools")
        tools = decode_tools(allowed.get("tools") or [])
        return ToolChoice(
            mode="required" if allowed.get("mode") == "required" else "auto",
            names=tuple(tool.name for tool in tools),
            raw=choice,
        )
    raise BadRequest(f"tool_choice has an unknown type {kind!r}.", param="tool_choice.type")


def decode_format(value: Json) -> OutputFormat:
    """Decode `response_format`."""
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
    """Encode `response_format`."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    inner: Object = {"name": output.name, **without_empty({"description": output.description})}
    if output.schema is not None:
        inner["schema"] = output.schema
    if output.strict is not None:
        inner["strict"] = output.strict
    return {"type": "json_schema", "json_schema": inner}
