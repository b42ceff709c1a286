"""One item while it streams: collects the deltas and makes the whole content from them.

Belongs to the fold (`state.py`), which has already checked that the item is open and takes this kind of
delta. What is left to check here is rule 5 of the grammar (parts come in order and have one kind) and
rule 6 (the content of `item.completed` is what was streamed).
"""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never

from msgspec.structs import replace

from tailrace.errors import IllegalEvent
from tailrace.events import grammar
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

    __slots__ = ("_chunks", "_loose")

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self._loose: list[str] = []

    def add(self, piece: str) -> None:
        """Put a piece at the end."""
        loose = self._loose
        loose.append(piece)
        if len(loose) >= LOOSE_PIECES:
            self._chunks.append("".join(loose))
            loose.clear()

    def whole(self) -> str:
        """All of it."""
        return "".join((*self._chunks, *self._loose))


class PartBuffer:
    """The pieces of one content part."""

    __slots__ = ("annotations", "kind", "logprobs", "text_buffer")

    def __init__(self, kind: PartKind) -> None:
        self.kind = kind
        self.text_buffer = Text()
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []

    def text(self) -> str:
        """The text so far."""
        return self.text_buffer.whole()

    def part(self) -> Part:
        """This part as message content."""
        if self.kind == "refusal":
            return RefusalPart(self.text())
        return TextPart(self.text(), tuple(self.annotations), tuple(self.logprobs))


ToolEvent: TypeAlias = (
    t.ToolStarted | t.ToolProgress | t.ToolCompleted | t.ApprovalRequested | t.ApprovalResolved
)


class ItemState:
    """An item of a run: its start, its content, the phase of its tool call.

    `reply` is the number of the agent's model reply (1, 2, 3 …) that it belongs to, 0 while that reply is
    open. `cut` means that the reply's worker died; the item continues if the next worker repeats it.
    `abandoned` means that it does not: the item was shown, and is in no later history. `approval_requests`
    is the number of approval requests for its call, `approval_request` the last one. `edited_arguments`
    outlive a crash, which makes the approval void.
    """

    __slots__ = (
        "abandoned",
        "agent",
        "approval",
        "approval_request",
        "approval_requests",
        "arguments",
        "content",
        "cut",
        "edited_arguments",
        "has_begun",
        "node",
        "output",
        "parts",
        "reply",
        "started",
        "status",
        "summary",
        "tool",
    )

    def __init__(self, event: t.ItemStarted, node: str, agent: str) -> None:
        self.started = event
        self.node = node
        self.agent = agent
        self.status: Literal["open", "completed", "incomplete"] = "open"
        self.content: Item | None = None
        self.tool = "none"
        self.has_begun = False
        self.approval_requests = 0
        self.approval_request: t.ApprovalRequested | None = None
        self.approval: t.ApprovalResolved | None = None
        self.edited_arguments: str | None = None
        self.output: t.ToolCompleted | None = None
        self.reply = 0
        self.cut = self.abandoned = False
        self.parts: list[PartBuffer] = []
        self.summary: list[PartBuffer] = []
        self.arguments = Text()

    def take_tool_event(self, event: ToolEvent) -> bool:
        """Fold in an event of the item's tool call. Returns whether the run made progress by it. Raises
        `IllegalEvent`."""
        self.tool = grammar.step("tool", self.tool, type(event), f"of item {event.item}")
        match event:
            case t.ToolStarted():
                self.has_begun = True
            case t.ToolCompleted():
                self.output = event
                return not self.abandoned
            case t.ApprovalRequested():
                self.approval_requests += 1
                self.approval_request = event
            case t.ApprovalResolved():
                self.approval = event
                if event.arguments is not None:
                    self.edited_arguments = event.arguments
                return True
            case t.ToolProgress():
                pass
            case _:
                assert_never(event)
        return False

    def call(self) -> ToolCall | None:
        """The complete call as it runs, with the arguments that a person gave it; None for other items."""
        if not isinstance(self.content, ToolCall) or self.edited_arguments is None:
            return self.content if isinstance(self.content, ToolCall) else None
        return replace(self.content, arguments=self.edited_arguments)

    def add_text(self, delta: t.TextDelta) -> None:
        """Append text and log probabilities to a text part; the first delta of a part creates it."""
        buffer = _current(self.parts, delta.part, "text")
        buffer.text_buffer.add(delta.text)
        if delta.logprobs:
            buffer.logprobs.extend(delta.logprobs)

    def add_refusal(self, delta: t.RefusalDelta) -> None:
        """Append text to a refusal part."""
        _current(self.parts, delta.part, "refusal").text_buffer.add(delta.text)

    def add_annotation(self, event: t.AnnotationAdded) -> None:
        """Append an annotation to a text part."""
        _current(self.parts, event.part, "text").annotations.append(event.annotation)

    def add_reasoning(self, delta: t.ReasoningDelta | t.ReasoningSummaryDelta) -> None:
        """Append text to a part of the reasoning, or of its summary."""
        if isinstance(delta, t.ReasoningDelta):
            _current(self.parts, delta.part, "reasoning").text_buffer.add(delta.text)
        else:
            _current(self.summary, delta.part, "summary").text_buffer.add(delta.text)

    def add_arguments(self, text: str) -> None:
        """Append a piece of the call's arguments, JSON text."""
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
        item = self._item_from_parts(event)
        if item is None:
            if event.content is None and event.status == "completed":
                raise IllegalEvent(f"item.completed: item {event.item} needs its content")
            return event.content
        if event.content is not None and event.content != item:
            raise IllegalEvent(f"item.completed: item {event.item} differs from its deltas")
        return item

    def _item_from_parts(self, event: t.ItemCompleted) -> Item | None:
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
