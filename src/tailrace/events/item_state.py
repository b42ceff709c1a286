"""One item while it streams: collects the deltas and makes the whole content from them.

Belongs to the fold (`state.py`), which has already checked that the item is open and takes this kind of
delta. What is left to check here is rule 5 of the grammar (parts come in order and have one kind) and
rule 6 (the content of `item.completed` is what was streamed).
"""

from __future__ import annotations

from typing import Literal

from tailrace.errors import IllegalEvent
from tailrace.events import types as t
from tailrace.events.items import (
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
)

PartKind = Literal["text", "refusal", "reasoning", "summary"]

LOOSE_PIECES = 256
"""Pieces of a text that are kept apart: a short string takes fifty bytes more than its characters."""


class Text:
    """A text that comes in pieces."""

    __slots__ = ("_joined", "_loose")

    def __init__(self) -> None:
        self._joined: list[str] = []
        self._loose: list[str] = []

    def add(self, piece: str) -> None:
        """Put a piece at the end."""
        loose = self._loose
        loose.append(piece)
        if len(loose) >= LOOSE_PIECES:
            self._joined.append("".join(loose))
            loose.clear()

    def whole(self) -> str:
        """All of it."""
        return "".join((*self._joined, *self._loose))


class PartBuffer:
    """The pieces of one content part."""

    __slots__ = ("annotations", "kind", "logprobs", "said")

    def __init__(self, kind: PartKind) -> None:
        self.kind = kind
        self.said = Text()
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []

    def text(self) -> str:
        return self.said.whole()

    def part(self) -> Part:
        """This part as message content."""
        if self.kind == "refusal":
            return RefusalPart(self.text())
        return TextPart(self.text(), tuple(self.annotations), tuple(self.logprobs))


class ItemState:
    """An item of a run: how it began, what it holds, where its tool stands.

    `reply` is which of its agent's model replies (1, 2, 3 …) it belongs to, 0 while that reply goes on.
    `cut` says that the reply's worker died; it goes on when the next one says the same again. `abandoned`
    says that it never will: such an item was shown, but is no part of any later history. `asked` counts how
    often a person was asked for a yes to it.
    """

    __slots__ = (
        "abandoned",
        "agent",
        "approval",
        "arguments",
        "asked",
        "begun",
        "content",
        "cut",
        "node",
        "output",
        "parts",
        "reply",
        "started",
        "status",
        "summary",
        "tool",
    )

    def __init__(self, started: t.ItemStarted, node: str, agent: str) -> None:
        self.started = started
        self.node = node
        self.agent = agent
        self.status: Literal["open", "completed", "incomplete"] = "open"
        self.content: Item | None = None
        self.tool = "none"
        self.begun = False
        self.asked = 0
        self.approval: t.ApprovalResolved | None = None
        self.output: t.ToolCompleted | None = None
        self.reply = 0
        self.cut = self.abandoned = False
        self.parts: list[PartBuffer] = []
        self.summary: list[PartBuffer] = []
        self.arguments = Text()

    def add_text(self, delta: t.TextDelta) -> None:
        buffer = _current(self.parts, delta.part, "text")
        buffer.said.add(delta.text)
        if delta.logprobs:
            buffer.logprobs.extend(delta.logprobs)

    def add_refusal(self, delta: t.RefusalDelta) -> None:
        _current(self.parts, delta.part, "refusal").said.add(delta.text)

    def add_annotation(self, event: t.AnnotationAdded) -> None:
        _current(self.parts, event.part, "text").annotations.append(event.annotation)

    def add_reasoning(self, delta: t.ReasoningDelta | t.ReasoningSummaryDelta) -> None:
        if isinstance(delta, t.ReasoningDelta):
            _current(self.parts, delta.part, "reasoning").said.add(delta.text)
        else:
            _current(self.summary, delta.part, "summary").said.add(delta.text)

    def add_arguments(self, text: str) -> None:
        self.arguments.add(text)

    def complete(self, event: t.ItemCompleted) -> t.ItemCompleted:
        """Close the item; returns the event with the whole content in it."""
        content = self._content(event)
        self.content = content
        self.status = event.status
        if isinstance(content, ToolCall) and event.status == "completed":
            ours = self.started.runs_on != "client" or self.started.waits_for == "answer"
            self.tool = "called" if ours else "handed"
        self.parts, self.summary, self.arguments = [], [], Text()
        return t.ItemCompleted(event.item, event.status, content)

    def _content(self, event: t.ItemCompleted) -> Item | None:
        """The item's content; None for an image or audio that was cut off before it was whole."""
        made = self._streamed(event)
        if made is None:
            if event.content is None and event.status == "completed":
                raise IllegalEvent(f"item.completed: item {event.item} needs its content")
            return event.content
        if event.content is not None and event.content != made:
            raise IllegalEvent(f"item.completed: item {event.item} differs from its deltas")
        return made

    def _streamed(self, event: t.ItemCompleted) -> Item | None:
        """The content that the deltas made; None for kinds that bring their own."""
        details = event.content.details if event.content is not None else event.details
        match self.started.kind:
            case "message":
                content = tuple(buffer.part() for buffer in self.parts)
                return Message(
                    role="assistant", content=content, phase=self.started.phase, details=details
                )
            case "reasoning":
                return Reasoning(
                    summary=tuple(buffer.text() for buffer in self.summary),
                    text=tuple(buffer.text() for buffer in self.parts),
                    details=details,
                )
            case "tool_call":
                return ToolCall(
                    call_id=self.started.call_id,
                    name=self.started.name,
                    arguments=self.arguments.whole(),
                    custom=self.started.custom,
                    details=details,
                )
            case "provider" if event.content is None:
                return ProviderItem(dialect=self.started.dialect, data=self.started.data)
            case "provider" | "image" | "audio":
                return None


def _current(parts: list[PartBuffer], ordinal: int, kind: PartKind) -> PartBuffer:
    """The part with this ordinal: the last one, or a new one right after it (rule 5)."""
    if ordinal == len(parts):
        parts.append(PartBuffer(kind))
    elif ordinal != len(parts) - 1:
        raise IllegalEvent(f"part {ordinal} cannot follow part {len(parts) - 1}")
    buffer = parts[ordinal]
    if buffer.kind != kind:
        raise IllegalEvent(f"part {ordinal} is {buffer.kind}, not {kind}")
    return buffer
