"""Items, tools and parameters of one dialect that a server of another does not have: translated, omitted,
or refused.

Omitted is only what does not change the meaning of the request, or what clients offer unconditionally
(Codex: search and images, Claude Code: search): the tables here list it, and so does PROTOCOLS.md.
Everything else that a server cannot express is refused by name, including types that are unknown to us: a
silent omission would be a fault. A dialect's own codec refuses what only it can detect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from tailrace.errors import NoForm
from tailrace.events.items import (
    Item,
    Json,
    ProviderItem,
    ProviderPart,
    TextPart,
    ToolCall,
    ToolOutput,
    parts_of,
)
from tailrace.events.request import Settings, ToolSpec
from tailrace.events.tools import NAMED_KINDS, brings_tools
from tailrace.protocols.counterparts import counterpart
from tailrace.protocols.fields import Object, any_object, objects
from tailrace.protocols.offered import Names

DIALECT_NAMES: Mapping[str, str] = {
    "chat": "Chat Completions",
    "responses": "Responses",
    "messages": "Messages",
}
LISTS: Mapping[str, str] = {"responses": "input"}
"""The field with the conversation, by dialect; `messages` in most."""

ITEMS: Mapping[str, frozenset[str]] = {
    "responses": frozenset(
        {
            "code_interpreter_call",
            "file_search_call",
            "image_generation_call",
            "mcp_approval_request",
            "mcp_approval_response",
            "mcp_list_tools",
            "tool_search_call",
            "web_search_call",
        }
    ),
    "messages": frozenset(
        {
            "advisor_tool_result",
            "bash_code_execution_tool_result",
            "code_execution_tool_result",
            "mcp_tool_listing",
            "server_tool_use",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "web_fetch_tool_result",
            "web_search_tool_result",
        }
    ),
}
"""By dialect: items that record what its servers did on their own before an answer, which is an item of its
own. Items that replace part of the conversation (`compaction`), or wait for the client (`computer_call`),
are not among them."""

TOOLS: Mapping[str, frozenset[str]] = {
    "chat": frozenset({"web_search"}),
    "responses": frozenset({"image_generation", "tool_search", "web_search", "web_search_preview"}),
    "messages": frozenset(
        {"advisor", "tool_search_tool_bm25", "tool_search_tool_regex", "web_search"}
    ),
}
"""By dialect: tools that its providers run, and that clients offer whether or not the user wants them."""
MESSAGE = ("audio", "function_call")
"""Fields of a Chat message that only Chat servers know."""
VERSION = re.compile(r"_\d{8}$|_\d{4}_\d\d_\d\d$")
"""The version at the end of a tool's type."""


def unknown(dialect: str, noun: Object, param: str, **about: Json) -> NoForm:
    """The refusal of a type that servers of a dialect do not know."""
    kind = noun.get("type")
    message = (
        f"A model server that speaks {DIALECT_NAMES[dialect]} knows no content of type {kind!r}."
    )
    return NoForm(message, param=param, field="type", **about)


def speaks(item: Item, dialect: str) -> bool:
    """Whether an item has nothing that only another dialect knows."""
    if isinstance(item, ProviderItem):
        return item.dialect == dialect
    return all(part.dialect == dialect for part in parts_of(item) if isinstance(part, ProviderPart))


def check_item(item: Item, origin: str) -> None:
    """Refuse fields of a Chat message that no other dialect has: audio of an earlier reply by its id, and
    calls in the form that preceded tools. Raises `NoForm`."""
    of_message = any_object(any_object(item.details.get("chat")).get("message"))
    for field in MESSAGE:
        if of_message.get(field):
            message = f"Only a model server that speaks Chat Completions knows a message's {field}."
            raise NoForm(message, param=LISTS.get(origin, "messages"), item=item, field=field)


def as_function(
    item: ProviderItem, dialect: str, origin: str, names: Names | None = None
) -> Sequence[Item]:
    """The replacement, at a server of `dialect`, of an item that only another dialect has. `origin` is the
    dialect of the client, `names` are the names of the tools at that server. Raises `NoForm`."""
    brings = brings_tools(item)
    if brings:  # the tools are among those that are offered
        for place, kind in _meant_within(item.data):
            message = _no_tool(dialect, kind)
            raise NoForm(message, param=LISTS.get(origin, "messages"), item=item, field=place)
    equivalent = counterpart(item, names) if names is not None else None
    if equivalent is not None:
        return (equivalent,)
    if brings:
        return ()
    if item.dialect == "responses" and item.data.get("type") == "mcp_call":
        return _call_items(item.data)
    if item.role == "assistant" and item.data.get("type") in ITEMS.get(item.dialect, ()):
        return ()
    raise unknown(dialect, item.data, LISTS.get(origin, "messages"), item=item)


def _call_items(data: Object) -> Sequence[Item]:
    """A call of a tool that ran at a server, in the form of any other call."""
    id = str(data.get("id") or "")
    arguments, output, error = data.get("arguments"), data.get("output"), data.get("error")
    call = ToolCall(
        call_id=id,
        name=str(data.get("name") or ""),
        arguments=arguments if isinstance(arguments, str) else "",
    )
    if output is None and error is None:
        return (call,)
    words = error if output is None else output
    text = words if isinstance(words, str) else msgspec.json.encode(words).decode()
    return (
        call,
        ToolOutput(call_id=id, output=(TextPart(text),), is_error=output is None),
    )


def check(settings: Settings, dialect: str) -> None:
    """Refuse the parameters and tools of another dialect without which the answer would be a different one.
    Raises `NoForm`."""
    if dialect != "responses":  # Responses has equivalents of some tools, and translates them
        for n, tool in enumerate(settings.tools):
            for place, kind in _only_there(tool, tool.origin or settings.origin, dialect):
                message = _no_tool(dialect, kind)
                raise NoForm(message, param=f"{tool_place(settings, n)}.{place}")
    if settings.origin == dialect:
        return
    for name, meaning in _MEANINGS.get(settings.origin, {}).items():
        if name in settings.extra and (within := meaning(settings.extra[name])) is not None:
            message = f"A model server that speaks {DIALECT_NAMES[dialect]} has no {name}."
            raise NoForm(message, param=f"{name}{within}")


def tool_place(settings: Settings, n: int) -> str:
    """The position of a request's n-th tool, for errors."""
    return f"tools.{n}" if settings.origin == "messages" else f"tools[{n}]"


def no_choice(settings: Settings, dialect: str) -> NoForm:
    """The refusal of a `tool_choice` that requires a tool which the server is not offered."""
    names = ", ".join(map(repr, settings.tool_choice.names))
    what = f"cannot be offered the tool {names}" if names else "is offered no tool to call"
    message = f"A model server that speaks {DIALECT_NAMES[dialect]} {what}."
    return NoForm(message, param="tool_choice")


def _only_there(tool: ToolSpec, origin: str, dialect: str) -> Iterator[tuple[str, str]]:
    """The types that only a provider of another dialect knows and that the request depends on, each with
    its position in the tool."""
    if tool.kind != "provider" or origin in ("", dialect):
        return
    if origin == "responses" and tool.raw.get("type") == "namespace":  # its functions are offered
        yield from _meant_within(tool.raw)
    elif not _is_left_out(tool.raw, origin):
        yield "type", str(tool.raw.get("type"))


def _meant_within(data: Object) -> Iterator[tuple[str, str]]:
    """The same for the containers of tools in OpenAI's Responses: namespaces, and items that bring tools."""
    for n, tool in enumerate(objects(data.get("tools"))):
        if tool.get("type") == "namespace":
            yield from ((f"tools[{n}].{place}", kind) for place, kind in _meant_within(tool))
        elif tool.get("type") not in NAMED_KINDS and not _is_left_out(tool, "responses"):
            yield f"tools[{n}].type", str(tool.get("type"))


def _is_left_out(tool: Object, origin: str) -> bool:
    return VERSION.sub("", str(tool.get("type"))) in TOOLS.get(origin, ())


def _no_tool(dialect: str, kind: str) -> str:
    return f"A model server that speaks {DIALECT_NAMES[dialect]} has no tool of type {kind}."


def _if_any(value: Json) -> str | None:
    return "" if value else None


def _container(value: Json) -> str | None:
    """The part of `container` that the request depends on: its skills, or anything but empty fields; None
    for none."""
    if objects(any_object(value).get("skills")):
        return ".skills"
    says = any(any_object(value).values()) if isinstance(value, dict) else bool(value)
    return "" if says else None


def _not_text(value: Json) -> str | None:
    kinds = cast("list[Json]", value) if isinstance(value, list) else [value]
    return "" if any(kind not in (None, "text") for kind in kinds) else None


_MEANINGS: Mapping[str, Mapping[str, Callable[[Json], str | None]]] = {
    "chat": {
        "audio": _if_any,
        "grammar": _if_any,
        "guided_choice": _if_any,
        "guided_grammar": _if_any,
        "guided_json": _if_any,
        "guided_regex": _if_any,
        "modalities": _not_text,
        "structured_outputs": _if_any,
        "web_search_options": lambda value: None if value is None else "",
    },
    "responses": {"prompt": _if_any},
    "messages": {
        "container": _container,
        "inference_geo": _if_any,
        "mcp_servers": _if_any,
        "output_format": _if_any,
    },
}
"""By dialect: parameters without which an answer is a different one, each with the part of it that matters,
or None. vLLM's `guided_…` parameters and similar ones prescribe the form of the answer."""
