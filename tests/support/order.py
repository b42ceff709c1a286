"""The order of a Responses stream, as 32 recorded streams of the real API keep it: a checker.

Reads frames as any client would and keeps a small state machine per item; a broken rule is an
AssertionError.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgspec

from tailrace.events import types as t
from tailrace.events.state import RunState
from tests.support import strict

Event = dict[str, Any]

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
PARTS = {
    # the kind of a part: the field with its index, the field with its text
    "output_text": ("content_index", "text"),
    "refusal": ("content_index", "refusal"),
    "reasoning_text": ("content_index", "text"),
    "reasoning_summary_text": ("summary_index", "text"),
}
WHOLE = {
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "mcp_call_arguments": "arguments",
    "code_interpreter_call_code": "code",
}


class ItemOrder:
    """One output item: opened, extended part by part, closed once."""

    def __init__(self, item: Event) -> None:
        self.id = item["id"]
        self.type = item["type"]
        self.done: Event | None = None
        self.open = False
        self.text: list[str] | None = None
        self.parts: dict[str, list[str]] = {"content_index": [], "summary_index": []}
        self.lifecycle: list[str] = []

    @property
    def number(self) -> int:
        """The item's number in the log; a request for approval has none."""
        return -1 if self.type == "mcp_approval_request" else int(self.id.rpartition("_")[2])

    def take(self, event: Event) -> None:
        assert self.done is None, "nothing follows output_item.done"
        assert event["item_id"] == self.id
        kind = event["type"].removeprefix("response.")
        name, _, phase = kind.rpartition(".")
        if kind in ("content_part.added", "reasoning_summary_part.added"):
            assert not self.open, "one part is open at a time"
            self.open = True
            index = "summary_index" if "summary" in kind else "content_index"
            assert event[index] == len(self.parts[index])
            self.text = []
        elif kind in ("content_part.done", "reasoning_summary_part.done"):
            index = "summary_index" if "summary" in kind else "content_index"
            part = event["part"]
            assert self.open
            assert self.text is None, "a part's text is done first"
            self.open = False
            assert part.get("text", part.get("refusal")) == self.parts[index][event[index]]
        elif name in PARTS:
            self._part(event, phase, *PARTS[name])
        elif name in WHOLE:
            self._whole(event, phase, WHOLE[name])
        elif kind == "output_text.annotation.added":
            assert self.text is not None
        else:
            assert name == self.type, f"{kind} on a {self.type}"
            self.lifecycle.append(phase)

    def _part(self, event: Event, phase: str, index: str, field: str) -> None:
        assert self.text is not None, "text needs an open part"
        assert event[index] == len(self.parts[index])
        if phase == "delta":
            self.text.append(event["delta"])
        else:
            assert event[field] == "".join(self.text)
            self.parts[index].append(event[field])
            self.text = None

    def _whole(self, event: Event, phase: str, field: str) -> None:
        if phase == "delta":
            self.text = [*(self.text or []), event["delta"]]
        else:
            assert event[field] == "".join(self.text or [])
            self.text = None

    def close(self, item: Event) -> None:
        assert self.done is None
        assert not self.open
        assert self.text is None
        assert (item["id"], item["type"]) == (self.id, self.type)
        content, summary = item.get("content", []), item.get("summary", [])
        assert [p.get("text", p.get("refusal")) for p in content] == self.parts["content_index"]
        assert [p["text"] for p in summary] == self.parts["summary_index"]
        assert not self.lifecycle or self.lifecycle[0] == "in_progress"
        assert item.get("status") not in ("in_progress", "queued")
        self.done = item


def check(frames: Iterable[bytes], log: Iterable[t.Event] = ()) -> list[Event]:
    """A complete stream, from `response.created` to `[DONE]`; returns its events. If a reply in the `log`
    was abandoned, the last event does not contain that reply."""
    frames = list(frames)
    assert frames[-1] == b"data: [DONE]\n\n"
    events: list[Event] = [msgspec.json.decode(data) for data in strict.data_of(frames)]
    for number, (frame, event) in enumerate(zip(frames, events, strict=False)):
        assert frame.startswith(b'event: %b\ndata: {"type":"' % event["type"].encode())
        assert frame.decode().splitlines()[2:] == [""], "one line of data, for any reader"
        assert event["sequence_number"] == number
    names = [event["type"] for event in events]
    opening = ["response.created", "response.queued", "response.in_progress"]
    head = list(itertools.takewhile(lambda name: name in opening, names))
    queued = events[0]["response"]["status"] == "queued"
    assert head == (opening if queued else [opening[0], opening[2]])
    failed = names[-1] == "response.failed"
    assert names[-1] in TERMINAL
    assert ("error" in names) == failed
    body = events[len(head) : -2 if failed else -1]
    if failed:
        assert names[-2] == "error"
    items: list[ItemOrder] = []
    for event in body:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(ItemOrder(event["item"]))
        elif event["type"] == "response.output_item.done":
            items[event["output_index"]].close(event["item"])
        else:
            items[event["output_index"]].take(event)
    assert all(item.done is not None for item in items)
    assert len({item.id for item in items}) == len(items)
    whole = events[-1]["response"]["status"] == "completed"
    gone = said_anew(log) if whole else set[int]()
    kept = [item.done for item in items if not gone or item.number not in gone]
    assert events[-1]["response"]["output"] == kept
    for event in (*events[: len(head)], events[-1]):
        assert event["response"]["id"] == events[0]["response"]["id"]
        assert (event["response"]["usage"] is None) == (event is not events[-1])
    return events


def said_anew(log: Iterable[t.Event]) -> set[int]:
    """The items of replies that a crash cut off and that the next attempt replaced."""
    state, gone = RunState(), set[int]()
    for event in log:
        before = {number for number, item in enumerate(state.items) if item.abandoned}
        state.apply(event)
        if isinstance(event.payload, t.ReplyAbandoned):
            after = {number for number, item in enumerate(state.items) if item.abandoned}
            gone |= after - before
    return gone
