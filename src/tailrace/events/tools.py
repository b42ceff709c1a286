"""The tools that a request declares: one by one, in namespaces, and those that items of a Responses
conversation add. Pure.

A namespace has several tools; `additional_tools` and the output of a tool search declare more of them among
the items. Here each is one tool, once, with its namespace; so is the tool search, if the client runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from tailrace.events.items import Item, Json, ProviderItem
from tailrace.events.request import ToolSpec

BRINGS = ("additional_tools", "tool_search_output")
"""Items of OpenAI's Responses that declare tools."""
NAMED_KINDS = ("function", "custom")
"""Types of tools that a client runs and that have names."""
SEARCH = "tool_search"
"""A search for tools; with `execution: client` the client runs it, like a function of this name."""
_WIRE = "responses"


class ToolDeclaration(Struct, frozen=True, gc=False):
    """A tool and its namespace. A tool that a provider runs is unchanged."""

    spec: ToolSpec
    namespace: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The namespace and name by which a call names it."""
        return self.namespace, self.spec.name


def declarations(tools: Sequence[ToolSpec], items: Sequence[Item] = ()) -> list[ToolDeclaration]:
    """All tools of a request, in order. A repeated declaration counts once."""
    tools_found = [ToolDeclaration(tool) for tool in tools if not _is_namespace(tool)]
    keys = {each.key for each in tools_found if each.spec.kind != "provider"}
    new: list[ToolDeclaration] = []
    for tool in tools:
        if _is_namespace(tool):
            new += _new(_namespace(tool.raw), keys)
        elif is_search(tool):
            new += _new(iter([ToolDeclaration(_search(tool.raw))]), keys)
        else:
            new.append(ToolDeclaration(tool))
    for item in items:
        if isinstance(item, ProviderItem) and brings_tools(item):
            new += _new(_wire(item.data.get("tools"), ""), keys)
    return new


def run_by_client(tools: Sequence[ToolSpec], items: Sequence[Item] = ()) -> set[tuple[str, str]]:
    """The namespace and name of each tool that the client runs when it is called."""
    return {each.key for each in declarations(tools, items) if each.spec.kind != "provider"}


def brings_tools(item: Item) -> bool:
    """Whether an item declares tools."""
    return (
        isinstance(item, ProviderItem) and item.dialect == _WIRE and item.data.get("type") in BRINGS
    )


def _is_namespace(tool: ToolSpec) -> bool:
    return tool.kind == "provider" and tool.raw.get("type") == "namespace"


def is_search(tool: ToolSpec) -> bool:
    """Whether a tool is the search for tools that the client runs, declared or as a function."""
    return tool.raw.get("type") == SEARCH and tool.raw.get("execution") == "client"


def _search(raw: dict[str, Json]) -> ToolSpec:
    spec = _spec({**raw, "type": "function"}, SEARCH)
    return msgspec.structs.replace(spec, raw=raw)


def _new(tools: Iterator[ToolDeclaration], keys: set[tuple[str, str]]) -> Iterator[ToolDeclaration]:
    """The tools that were not declared before; they count as declared from here on."""
    for tool in tools:
        if tool.key not in keys:
            keys.add(tool.key)
            yield tool


def _namespace(raw: dict[str, Json]) -> Iterator[ToolDeclaration]:
    name = raw.get("name")
    yield from _wire(raw.get("tools"), name if isinstance(name, str) else "")


def _wire(value: Json, namespace: str) -> Iterator[ToolDeclaration]:
    """Tools as OpenAI's Responses declares them; the client does not run those of a provider."""
    for entry in cast("list[Json]", value) if isinstance(value, list) else ():
        tool = cast("dict[str, Json]", entry) if isinstance(entry, dict) else {}
        kind, name = tool.get("type"), tool.get("name")
        if not isinstance(name, str) or not name:
            continue
        if kind == "namespace" and not namespace:
            yield from _namespace(tool)
        elif kind in NAMED_KINDS:
            yield ToolDeclaration(_spec(tool, name), namespace)


def _spec(tool: dict[str, Json], name: str) -> ToolSpec:
    description, strict, form = tool.get("description"), tool.get("strict"), tool.get("format")
    parameters = tool.get("parameters")
    return ToolSpec(
        kind="custom" if tool["type"] == "custom" else "function",
        name=name,
        description=description if isinstance(description, str) else "",
        parameters=parameters if isinstance(parameters, dict) else None,
        strict=strict if isinstance(strict, bool) else None,
        raw={"format": form} if form else {},
        origin=_WIRE,
    )
