"""Which call a piece belongs to, by the servers' numbers and ids, and the fields of a call that are sent
back."""

from __future__ import annotations

import pytest

from tailrace.events.items import Message, ToolCall
from tests.support.chat_replies import OSLO, ROME, STOP, Json, f, frames, read, tool

TWO = [("w", OSLO), ("w", ROME)]
CALLS: dict[str, tuple[list[Json], list[tuple[str, str]]]] = {
    "as OpenAI": (
        [
            tool(f("w", "", index=0, id="a")),
            tool(f(None, '{"city":', index=0)),
            tool(f(None, '"Oslo"}', index=0)),
            tool(f("w", ROME, index=1, id="b")),
        ],
        TWO,
    ),
    "all of one index, without ids": (
        [tool(f("w", OSLO, index=0, id="")), tool(f("w", ROME, index=0, id=""))],
        TWO,
    ),
    "all of one index, in one chunk": ([tool(f("w", OSLO, index=0), f("w", ROME, index=0))], TWO),
    "all of one index and id": (
        [tool(f("w", OSLO, index=0, id="a")), tool(f("w", ROME, index=0, id="a"))],
        TWO,
    ),
    "all of one index, ids differ": (
        [tool(f("w", OSLO, index=0, id="a")), tool(f("w", ROME, index=0, id="b"))],
        TWO,
    ),
    "one id, indexes differ": (
        [tool(f("w", OSLO, index=0, id="a")), tool(f("w", ROME, index=1, id="a"))],
        TWO,
    ),
    "one index, in pieces": (
        [
            tool(f("w", '{"city":', index=0)),
            tool(f(None, '"Oslo"}', index=0)),
            tool(f("w", '{"city":', index=0)),
            tool(f(None, '"Rome"}', index=0)),
        ],
        TWO,
    ),
    "no index, no id": ([tool(f("w", OSLO)), tool(f("w", ROME))], TWO),
    "no index, no id, one chunk": ([tool(f("w", OSLO), f("w", ROME))], TWO),
    "no index, no id, no arguments": (
        [tool(f("a", "")), tool(f("b", ""))],
        [("a", "{}"), ("b", "{}")],
    ),
    "no index, id on each piece": (
        [
            tool(f("w", "", id="a")),
            tool(f(None, '{"city":', id="a")),
            tool(f(None, '"Oslo"}', id="a")),
        ],
        TWO[:1],
    ),
    "no index, ids in turn": (
        [
            tool(f("w", "", id="a")),
            tool(f("w", "", id="b")),
            tool(f(None, OSLO, id="a")),
            tool(f(None, ROME, id="b")),
        ],
        TWO,
    ),
    "no index, id at first": ([tool(f("w", "", id="a")), tool(f(None, OSLO))], TWO[:1]),
    "index null": (
        [tool(f("w", '{"city":', index=None, id="a")), tool(f(None, '"Oslo"}', index=None))],
        TWO[:1],
    ),
    "index a text": ([tool(f("w", OSLO, index="0")), tool(f("w", ROME, index="1"))], TWO),
    "index a fraction": ([tool(f("w", "", index=0.0)), tool(f(None, OSLO, index=0))], TWO[:1]),
    "index counts pieces": (
        [
            tool(f("w", "", index=0, id="a")),
            tool(f(None, '{"city":', index=1)),
            tool(f(None, '"Oslo"}', index=2)),
        ],
        TWO[:1],
    ),
    "another id on each piece": (
        [tool(f("w", '{"city":', index=0, id="a")), tool(f(None, '"Oslo"}', index=0, id="b"))],
        TWO[:1],
    ),
    "the name after the id": (
        [tool(f(None, "", index=0, id="a")), tool(f("w", OSLO, index=0))],
        TWO[:1],
    ),
    "the name after the arguments": (
        [tool(f(None, OSLO, index=0, id="a")), tool(f("w", "", index=0))],
        TWO[:1],
    ),
    "the name in pieces": (
        [tool(f("get_", "", index=0, id="a")), tool(f("weather", OSLO, index=0))],
        [("get_weather", OSLO)],
    ),
    "the name grows": (
        [tool(f("get_", "", index=0, id="a")), tool(f("get_weather", OSLO, index=0))],
        [("get_weather", OSLO)],
    ),
    "the name on each piece": (
        [
            tool(f("w", "", index=0, id="a")),
            tool(f("w", '{"city":', index=0, id="a")),
            tool(f("w", '"Oslo"}', index=0, id="a")),
            tool(f("w", "", index=0, id="a")),
        ],
        TWO[:1],
    ),
    "all of it once more": (
        [tool(f("w", OSLO, index=0, id="a")), tool(f("w", OSLO, index=0, id="a"))],
        TWO[:1],
    ),
    "an object": ([tool(f("w", {"city": "Oslo"}, index=0, id="a"))], TWO[:1]),
    "an empty object and then pieces": (
        [tool(f("w", {}, index=0, id="a")), tool(f(None, OSLO, index=0))],
        TWO[:1],
    ),
    "no arguments": ([tool(f("w", "", index=0, id="a"))], [("w", "{}")]),
    "arguments null": ([tool(f("w", None, index=0, id="a"))], [("w", "{}")]),
    "a blank argument": ([tool(f("w", " ", index=0, id="a"))], [("w", " {}")]),
    "an id that is a number": ([tool(f("w", OSLO, index=0, id=5))], TWO[:1]),
    "blank pieces between": (
        [tool(f("w", "", index=0, id="a")), tool({}), tool(f(None, OSLO, index=0))],
        TWO[:1],
    ),
    "a piece that is no object": ([tool(5, f("w", OSLO, index=0, id="a"), None)], TWO[:1]),
    "one call that is no list": ([{"delta": {"tool_calls": f("w", OSLO, index=0)}}], TWO[:1]),
    "a function call of old": (
        [
            {"delta": {"function_call": {"name": "w", "arguments": ""}}},
            {"delta": {"function_call": {"arguments": OSLO}}},
        ],
        TWO[:1],
    ),
    "brackets in texts": (
        [tool(f("w", '{"a":"}\\"', index=0)), tool(f("w", '{"}', index=0))],
        [("w", '{"a":"}\\"{"}')],
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_distinguished(name: str) -> None:
    chunks, calls = CALLS[name]
    found = read(frames(*chunks, {"delta": {}, "finish_reason": "tool_calls"}))
    assert found.failure is None
    assert found.calls == calls
    assert len(set(found.ids)) == len(found.ids)


def test_a_call_without_a_tool_name_is_a_failure() -> None:
    found = read(frames(tool(f(None, OSLO, index=0, id="a")), STOP))
    assert found.failure is not None
    assert "did not say of which tool" in found.failure.message


def test_a_call_that_a_failure_interrupts_has_started() -> None:
    found = read(frames(tool(f("w", "", index=0, id="a")), done=False))
    assert found.failure is not None
    assert [item.started.name for item in found.open] == ["w"]


def test_output_after_a_call_is_shown_after_it() -> None:
    found = read(frames(tool(f("w", "", index=0)), {"delta": {"content": "Wait."}}, STOP))
    assert [type(item) for item in found.items] == [ToolCall, Message]


KEPT: dict[str, tuple[list[Json], list[dict[str, Json]]]] = {
    "what was thought": (
        [{"delta": {"reasoning_content": "Hm"}}, tool(f("w", OSLO, index=0))],
        [{"field": "reasoning_content"}, {}],
    ),
    "under the other name": (
        [{"delta": {"reasoning": "Hm"}}, tool(f("w", OSLO, index=0))],
        [{"field": "reasoning"}, {}],
    ),
    "that nothing was thought": (
        [{"delta": {"reasoning_content": ""}}, tool(f("w", OSLO, index=0))],
        [{"message": {"reasoning_content": ""}}],
    ),
    "details in pieces": (
        [
            {
                "delta": {
                    "reasoning": "a",
                    "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}],
                }
            },
            {
                "delta": {
                    "reasoning": "b",
                    "reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}],
                }
            },
            {
                "delta": {
                    "reasoning_details": [{"type": "reasoning.text", "signature": "S", "index": 0}]
                }
            },
            {
                "delta": {
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": "E", "index": 1}]
                }
            },
            {"delta": {"content": "ok"}},
        ],
        [
            {
                "field": "reasoning",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "ab", "index": 0, "signature": "S"},
                    {"type": "reasoning.encrypted", "data": "E", "index": 1},
                ],
            },
            {},
        ],
    ),
    "a call's signature": (
        [tool(f("w", OSLO, index=0, extra_content={"google": {"thought_signature": "S"}}))],
        [{"call": {"extra_content": {"google": {"thought_signature": "S"}}}}],
    ),
    "a call's signature in a later piece": (
        [tool(f("w", OSLO, index=0)), tool({"index": 0, "provider_specific_fields": {"s": "S"}})],
        [{"call": {"provider_specific_fields": {"s": "S"}}}],
    ),
    "a message's signature": (
        [{"delta": {"content": "ok", "extra_content": {"google": {"thought_signature": "S"}}}}],
        [{"message": {"extra_content": {"google": {"thought_signature": "S"}}}}],
    ),
    "thoughts in the content": (
        [
            {
                "delta": {
                    "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]
                }
            }
        ],
        [{"field": "thinking"}],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_goes_back_is_kept(name: str) -> None:
    chunks, details = KEPT[name]
    found = read(frames(*chunks, STOP))
    assert found.failure is None
    made = [item.details.get("chat", {}) for item in found.items if item is not None]
    assert made == details
