"""Tools of a request, one by one: those of namespaces, and those that a conversation adds later."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.events.items import Message, ProviderItem, TextPart
from tailrace.events.request import ToolSpec
from tailrace.events.tools import BRINGS, brings_tools, declarations, run_by_client

FUNCTION = ToolSpec(name="f", parameters={"type": "object"}, origin="responses")
SPACE = ToolSpec(
    kind="provider",
    name="namespace",
    raw={
        "type": "namespace",
        "name": "ns",
        "tools": [{"type": "function", "name": "f", "strict": True}, {"type": "web_search"}, 5],
    },
    origin="responses",
)
SEARCH = ToolSpec(kind="provider", name="web_search", raw={"type": "web_search"})


def brings(kind: str, *tools: Any) -> ProviderItem:
    return ProviderItem(dialect="responses", data={"type": kind, "tools": list(tools)})


def test_tools_keep_their_order_and_provider_tools_are_not_the_clients() -> None:
    found = declarations((SEARCH, SPACE, FUNCTION))
    assert [each.key for each in found] == [("", "web_search"), ("ns", "f"), ("", "f")]
    assert found[1].spec.strict is True
    assert run_by_client((SEARCH, SPACE, FUNCTION)) == {("ns", "f"), ("", "f")}


def test_a_clients_duplicates_are_kept() -> None:
    """The server decides whether that is permitted."""
    assert len(declarations((FUNCTION, FUNCTION))) == 2


@pytest.mark.parametrize("kind", BRINGS)
def test_tools_of_later_items_count_once_and_come_last(kind: str) -> None:
    late = {"type": "function", "name": "late"}
    again = {"type": "function", "name": "f", "description": "Another."}
    deep = {"type": "namespace", "name": "ns", "tools": [late]}
    said = Message(role="user", content=(TextPart("x"),))
    item = brings(kind, late, again, deep, {"type": "custom", "name": "c"}, None)
    found = declarations((FUNCTION,), (item, said, item))
    assert [each.key for each in found] == [("", "f"), ("", "late"), ("ns", "late"), ("", "c")]
    assert found[0].spec == FUNCTION
    assert [brings_tools(each) for each in (item, said)] == [True, False]


@pytest.mark.parametrize("tools", [None, 5, "f", {}, [[]], [{"type": "function"}], [{"name": "f"}]])
def test_rubbish_declares_nothing(tools: Any) -> None:
    item = ProviderItem(dialect="responses", data={"type": "additional_tools", "tools": tools})
    assert declarations((), (item,)) == []


def test_an_item_of_another_dialect_declares_no_tools() -> None:
    data = {"type": "additional_tools", "tools": [{"type": "function", "name": "f"}]}
    assert declarations((), (ProviderItem(dialect="messages", data=data),)) == []
