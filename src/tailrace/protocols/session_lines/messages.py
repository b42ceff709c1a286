"""The model's replies as assistant messages: the content of a reply while it streams, and the complete
message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tailrace.events import types as t
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Json,
    Message,
    Part,
    ProviderPart,
    Reasoning,
    RefusalPart,
    TextPart,
    ToolCall,
)
from tailrace.events.usage import Totals
from tailrace.protocols.fields import object_in
from tailrace.protocols.framing.json_line import encode_ascii as _json
from tailrace.protocols.session_lines import wire_events as e
from tailrace.protocols.session_lines import wire_messages as m

PROVIDER = "tailrace"
PARTIAL = m.PartialMessage()
HERE = "@"
"""The placeholder in a rendered line for the text, by which the deltas of one content differ."""

Hot = t.TextDelta | t.RefusalDelta | t.ReasoningDelta | t.ReasoningSummaryDelta
THOUGHTS = (t.ReasoningDelta, t.ReasoningSummaryDelta)
Frame = Callable[[e.Line], bytes]


def usage(totals: Totals) -> m.SessionUsage:
    """Tokens in the form of sessions."""
    return m.SessionUsage(
        input_tokens=totals.input - totals.cached - totals.cache_write,
        output_tokens=totals.output,
        cache_read_tokens=totals.cached,
        cache_write_tokens=totals.cache_write,
        total_tokens=totals.input + totals.output,
        cost=m.Cost(total=totals.cost),
    )


def arguments(call: ToolCall) -> dict[str, Json]:
    """A call's arguments as an object, also if the model wrote something else."""
    value = object_in(call.arguments)
    return {"arguments": call.arguments} if value is None else value


def contents(parts: Sequence[Part]) -> tuple[m.AnyContent, ...]:
    """A message's parts, without those that sessions cannot show."""
    return tuple(content for part in parts if (content := _content(part)) is not None)


def _content(part: Part) -> m.AnyContent | None:
    match part:
        case TextPart():
            return m.TextContent(part.text)
        case RefusalPart():
            return m.TextContent(part.refusal)
        case ImagePart():
            return m.ImageContent(url=part.url) if part.url else None
        case FilePart() | AudioPart() | ProviderPart():
            return None


class SessionReply:
    """One reply of an agent's model, as lines of a session."""

    def __init__(self, turn: e.TurnStart, model: str, ts: int, frame: Frame) -> None:
        self._turn = turn
        self._frame = frame
        self._contents: list[m.AnyContent | None] = []
        self._open: dict[int, tuple[tuple[type[Hot], int], list[bytes]]] = {}
        self._parts: dict[int, list[int]] = {}
        self.head = m.AssistantMessage(
            content=(),
            provider=PROVIDER,
            model_id=model,
            usage=m.SessionUsage(),
            stop_reason="stop",
            timestamp=ts,
        )

    def start(self) -> bytes:
        """The line that begins the message."""
        turn = self._turn
        return self._frame(
            e.MessageStart(chain_id=turn.chain_id, turn_index=turn.turn_index, message=self.head)
        )

    def open_item(self, start: t.ItemStarted) -> list[bytes]:
        """A call begins; other items begin with their first piece."""
        self._parts[start.item] = []
        if start.kind != "tool_call":
            return []
        index = self._add(start.item)
        return [self._update(m.CallStart(content_index=index))]

    def takes(self, item: int) -> bool:
        """Whether the item belongs to this reply."""
        return item in self._parts

    def delta(self, delta: Hot) -> list[bytes]:
        """A piece of text or reasoning."""
        kind = (type(delta), delta.part)
        block = self._open.get(delta.item)
        frames: list[bytes] = []
        if block is not None and block[0][0] is not kind[0] and kind[0] in THOUGHTS:
            return []  # raw thoughts and their summary: only the first of them is shown
        if block is None or block[0] != kind:
            frames, block = self._begin(delta.item, kind)
        return [*frames, _json(delta.text).join(block[1])]

    def call_delta(self, delta: t.ArgumentsDelta) -> bytes:
        """A piece of a call's arguments."""
        index = self._parts[delta.item][-1]
        return self._update(m.CallDelta(content_index=index, delta=delta.text))

    def close_item(self, event: t.ItemCompleted) -> list[bytes]:
        """An item of the reply is complete."""
        indexes = self._parts.pop(event.item)
        block = self._open.pop(event.item, None)
        match event.content:
            case Message():
                texts = [(part, _content(part)) for part in event.content.content]
                text_contents = [each for _, each in texts if isinstance(each, m.TextContent)]
                return [
                    self._end(index, each, m.TextEnd(content_index=index, content=each.text))
                    for index, each in zip(indexes, text_contents, strict=False)
                ]
            case Reasoning():
                is_summary = block is not None and block[0][0] is t.ReasoningSummaryDelta
                words = "".join(event.content.summary if is_summary else event.content.text)
                content = m.ThinkingContent(words)
                return [
                    self._end(index, content, m.ThinkingEnd(content_index=index, content=words))
                    for index in indexes
                ]
            case ToolCall() if event.status == "completed":
                call = event.content
                tool_call = m.ToolCallContent(call.call_id, call.name, arguments(call))
                return [
                    self._end(index, tool_call, m.CallEnd(content_index=index, tool_call=tool_call))
                    for index in indexes
                ]
            case _:
                return []

    def whole(self, stop_reason: m.Stop, totals: Totals, error: str = "") -> m.AssistantMessage:
        """The final message."""
        return msgspec.structs.replace(
            self.head,
            content=tuple(content for content in self._contents if content is not None),
            usage=usage(totals),
            stop_reason=stop_reason,
            error_message=error,
        )

    def _begin(
        self, item: int, kind: tuple[type[Hot], int]
    ) -> tuple[list[bytes], tuple[tuple[type[Hot], int], list[bytes]]]:
        """A content begins: its first line, and the common part of its deltas."""
        thinks = kind[0] in THOUGHTS
        if thinks and self._parts[item]:
            index, frames = self._parts[item][-1], []  # all of an item's thoughts are one content
        else:
            index = self._add(item)
            start = m.ThinkingStart if thinks else m.TextStart
            frames = [self._update(start(content_index=index))]
        if thinks:
            line = self._update(m.ThinkingDelta(content_index=index, delta=HERE))
        else:
            line = self._update(m.TextDeltaPiece(content_index=index, delta=HERE), HERE)
        block = self._open[item] = (kind, line.split(_json(HERE)))
        return frames, block

    def _add(self, item: int) -> int:
        self._parts[item].append(len(self._contents))
        self._contents.append(None)
        return len(self._contents) - 1

    def _end(self, index: int, content: m.AnyContent, event: m.LlmStreamEvent) -> bytes:
        self._contents[index] = content
        return self._update(event)

    def _update(self, event: m.LlmStreamEvent, delta: str = "") -> bytes:
        return self._frame(
            e.MessageUpdate(
                chain_id=self._turn.chain_id,
                turn_index=self._turn.turn_index,
                message=PARTIAL,
                event=event,
                delta=delta,
            )
        )
