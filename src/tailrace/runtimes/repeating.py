"""Decides whether a model reply repeats the one that a crash interrupted.

Text that clients received cannot be taken back. So the next reply is held back as long as it repeats: when
it has repeated everything that was sent, the interrupted items continue with the rest, and no reader
notices the crash. Models at temperature 0, caches, scripted models, and servers that continue from a given
beginning repeat. A reply that differs is logged as a new one, and the interrupted one is abandoned
(docs/adr/0017).

The comparison covers what clients can see: kinds, names, texts and citations, in any chunking. Other fields
of an item (ids, signatures, costs) differ between replies; the first values stay. Items are matched by
their order. An item whose deltas the log does not keep (images, audio, a server's own item) can repeat only
if it was complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from tailrace.events import logprobs
from tailrace.events import types as t
from tailrace.events.item_state import ItemState
from tailrace.events.items import Json, Message, Part, Reasoning, RefusalPart, TextPart, ToolCall
from tailrace.events.state import RunState

Verdict = Literal["repeats", "continues", "differs"]
TextOfItem: TypeAlias = (
    t.TextDelta | t.RefusalDelta | t.ReasoningDelta | t.ReasoningSummaryDelta | t.ArgumentsDelta
)
Place: TypeAlias = tuple[Literal["parts", "summary", "arguments"], int]
"""Identifies one of the texts of an item."""

KINDS_WITH_DELTAS = ("message", "reasoning", "tool_call")
"""Kinds of items whose deltas the log keeps until they close."""
IDS = ("id", "call_id")
"""Fields of items that a server generates for each reply."""


class Repeating:
    """The next reply of an agent whose last reply was interrupted after the items `cut`. `same_ids`: a call
    continues only under its own id, because a framework keeps the ids that it received."""

    def __init__(self, state: RunState, cut: Sequence[int], *, same_ids: bool) -> None:
        self.payloads: list[t.Payload] = []
        self._cut = cut
        items = [state.items[number] for number in cut]
        self._cut_items = [
            _CutItem(item, same_ids=same_ids, may_grow=_may_grow(item, items[n + 1 :]))
            for n, item in enumerate(items)
        ]
        self._order: dict[int, int] = {}

    def take(self, payload: t.Payload) -> Verdict:
        """Add the next payload to `payloads`, and return whether the reply still repeats."""
        self.payloads.append(payload)
        if isinstance(payload, t.ItemStarted):
            self._order[payload.item] = len(self._order)
        item = self._item(payload)
        if item is not None and not item.fits(payload):
            return "differs"
        if len(self._order) >= len(self._cut) and all(each.is_repeated for each in self._cut_items):
            return "continues"
        return "differs" if isinstance(payload, t.Usage) else "repeats"

    def numbers(self) -> Mapping[int, int]:
        """The reply's own numbers of the items that were shown, and those of the run."""
        return {item: self._cut[n] for item, n in self._order.items() if n < len(self._cut)}

    def news(self) -> list[t.Payload]:
        """The payloads, or the parts of their text, that clients have not received."""
        self._cut_items = [each.again() for each in self._cut_items]
        news: list[t.Payload] = []
        for payload in self.payloads:
            item = self._item(payload)
            new = payload if item is None else item.news(payload)
            if new is not None:
                news.append(new)
        return news

    def _item(self, payload: t.Payload) -> _CutItem | None:
        order = self._order.get(payload.item) if isinstance(payload, t.ItemEvent) else None
        return None if order is None or order >= len(self._cut_items) else self._cut_items[order]


def beginning(state: RunState, node: str, agent: str) -> str:
    """The text of an agent's interrupted reply, if clients received nothing else of it."""
    match [state.items[number] for number in state.cut_items((node, agent))]:
        case [
            ItemState(status="open", started=t.ItemStarted(kind="message", phase=""), parts=[part])
        ]:
            return part.text() if part.kind == "text" and not part.annotations else ""
        case _:
            return ""


class _Text(Struct):
    """A text that was shown, and how many of its characters were repeated."""

    kind: str
    text: str
    repeated_length: int = 0

    def whole(self) -> bool:
        """Whether all of it was repeated."""
        return self.repeated_length >= len(self.text)


class _CutItem:
    """An item of the interrupted reply."""

    def __init__(self, item: ItemState, *, same_ids: bool, may_grow: bool) -> None:
        self._item = item
        self._same_ids = same_ids
        self._may_grow = may_grow
        self._whole = item.status == "completed"
        self._texts = {place: _Text(kind, text) for place, kind, text in _texts(item)}
        self._notes = _annotations(item)
        self._annotation_count = 0
        self._has_ended = False

    def again(self) -> _CutItem:
        """The same item, with nothing repeated yet."""
        return _CutItem(self._item, same_ids=self._same_ids, may_grow=self._may_grow)

    @property
    def is_repeated(self) -> bool:
        """Whether all of it was repeated."""
        return self._has_ended if self._whole else self._caught_up()

    def fits(self, payload: t.Payload) -> bool:
        """Whether the payload repeats the item, or continues it."""
        match payload:
            case t.ItemStarted():
                return self._can_repeat() and self._identity(payload) == self._identity(
                    self._item.started
                )
            case t.ItemCompleted():
                self._has_ended = True
                return self._caught_up() and (not self._whole or self._ends_as(payload))
            case t.AnnotationAdded():
                return self._notes_again(payload)
            case _ if isinstance(payload, TextOfItem):
                return self._says_again(payload)
            case _:
                return self._whole  # a preview of the final item

    def news(self, payload: t.Payload) -> t.Payload | None:
        """The part of a matching payload that was not shown."""
        match payload:
            case t.ItemStarted():
                return None
            case t.AnnotationAdded():
                self._annotation_count += 1
                return payload if self._annotation_count > len(self._notes) else None
            case _ if isinstance(payload, TextOfItem):
                return self._new_words(payload)
            case _:
                return None if self._whole else payload

    def _caught_up(self) -> bool:
        texts = all(text.whole() for text in self._texts.values())
        return texts and self._annotation_count >= len(self._notes)

    def _says_again(self, delta: TextOfItem) -> bool:
        place, kind = _place(delta)
        text = self._texts.get(place)
        if text is None:
            return self._may_grow and self._part_said(place)
        rest = text.text[text.repeated_length : text.repeated_length + len(delta.text)]
        text.repeated_length += len(delta.text)
        if kind != text.kind or not delta.text.startswith(rest):
            return False
        grows = text.repeated_length > len(text.text)
        return not grows or (self._may_grow and (place[0], place[1] + 1) not in self._texts)

    def _part_said(self, place: Place) -> bool:
        """Whether the part before this one was repeated, so that a new one may follow it."""
        before = self._texts.get((place[0], place[1] - 1))
        return before is None or before.whole()

    def _new_words(self, delta: TextOfItem) -> t.Payload | None:
        place, _ = _place(delta)
        text = self._texts.get(place)
        if text is None or text.whole():
            return delta
        rest = len(text.text) - text.repeated_length
        text.repeated_length += len(delta.text)
        if len(delta.text) <= rest:
            return None
        if isinstance(delta, t.TextDelta):
            token_logprobs = logprobs.after(delta.logprobs, rest)
            return t.TextDelta(delta.item, delta.text[rest:], delta.part, token_logprobs)
        return msgspec.structs.replace(delta, text=delta.text[rest:])

    def _notes_again(self, payload: t.AnnotationAdded) -> bool:
        number = self._annotation_count
        self._annotation_count += 1
        if number < len(self._notes):
            return bool(self._notes[number] == (payload.part, payload.annotation))
        return self._may_grow

    def _can_repeat(self) -> bool:
        if self._item.status == "open":
            return self._item.started.kind in KINDS_WITH_DELTAS
        return self._whole

    def _identity(self, start: t.ItemStarted) -> Json:
        """The fields of an item's start that do not differ between replies."""
        own = start.details.get("responses", {})
        return (
            msgspec.structs.replace(start, item=0, call_id="", data={}, details={}),
            start.call_id if self._same_ids else "",
            own.get("namespace"),
            _without_ids(start.data),
        )

    def _ends_as(self, payload: t.ItemCompleted) -> bool:
        content = self._item.content
        if payload.status != "completed" or content is None:
            return False
        if self._item.started.kind in KINDS_WITH_DELTAS:
            return True
        ours, theirs = msgspec.to_builtins((content, payload.content))
        return bool(_without_ids(ours) == _without_ids(theirs))


def _place(delta: TextOfItem) -> tuple[Place, str]:
    """The text of its item that a delta belongs to, and the kind of that text."""
    match delta:
        case t.TextDelta():
            return ("parts", delta.part), "text"
        case t.RefusalDelta():
            return ("parts", delta.part), "refusal"
        case t.ReasoningDelta():
            return ("parts", delta.part), "reasoning"
        case t.ReasoningSummaryDelta():
            return ("summary", delta.part), "summary"
        case t.ArgumentsDelta():
            return ("arguments", 0), "arguments"


def _texts(item: ItemState) -> list[tuple[Place, str, str]]:
    """The texts of an item that were shown, each with its position and kind."""
    match item.content:
        case Message(content=parts):
            return [(("parts", n), *text) for n, text in enumerate(map(_part, parts)) if text]
        case Reasoning(text=text, summary=summary):
            raw = [(cast("Place", ("parts", n)), "reasoning", each) for n, each in enumerate(text)]
            short = [
                (cast("Place", ("summary", n)), "summary", each) for n, each in enumerate(summary)
            ]
            return [*raw, *short]
        case ToolCall(arguments=arguments):
            return [(("arguments", 0), "arguments", arguments)]
        case None:
            return _open_texts(item)
        case _:
            return []


def _part(part: Part) -> tuple[str, str] | None:
    match part:
        case TextPart():
            return "text", part.text
        case RefusalPart():
            return "refusal", part.refusal
        case _:
            return None


def _open_texts(item: ItemState) -> list[tuple[Place, str, str]]:
    """The same for an open item."""
    if item.started.kind == "tool_call":
        return [(("arguments", 0), "arguments", item.arguments.whole())]
    texts: list[tuple[Place, str, str]] = []
    for n, part in enumerate(item.parts):
        texts.append((("parts", n), part.kind, part.text()))
    for n, part in enumerate(item.summary):
        texts.append((("summary", n), part.kind, part.text()))
    return texts


def _may_grow(item: ItemState, later: Sequence[ItemState]) -> bool:
    """Whether a reply may add to an item that was shown. A surface that joins the texts of all items (Chat)
    shows them in their order of arrival, so a text must not grow behind one of a later item."""
    kind = item.started.kind
    is_joined = kind != "tool_call" and any(each.started.kind == kind for each in later)
    return item.status != "completed" and not is_joined


def _annotations(item: ItemState) -> list[tuple[int, Json]]:
    """The annotations of an item, each with its part."""
    if isinstance(item.content, Message):
        parts = [
            (n, part) for n, part in enumerate(item.content.content) if isinstance(part, TextPart)
        ]
        return [(n, note) for n, part in parts for note in part.annotations]
    return [(n, note) for n, part in enumerate(item.parts) for note in part.annotations]


def _without_ids(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_ids(each) for each in cast("list[Json]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Json]", value)
    return {name: _without_ids(value) for name, value in fields.items() if name not in IDS}
