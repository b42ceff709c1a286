"""A run as a Messages event stream: events to frames (docs of 2026-10-21, and both SDKs).

A turn of the run is one message, its blocks in the order in which the items began. Text and thinking stream.
A call is shown when it is complete, because the SDKs fail on arguments that are not JSON, and a model's may
be invalid. Calls of the client's tools are `tool_use`; calls that run on our side are `mcp_tool_use` with
their `mcp_tool_result`, or hidden from clients that cannot read those (`MessagesStreamOptions.tools`). The
message starts with the fields that a Messages server sent for it, so not before the first item; counts come
with the last delta and replace those of the start.

A run that pauses for a person is several messages: a pause ends one with the open questions as text and as
`tool_use` of `ask_user` (`questions.py`), and the client's answer begins the next. A call of ours that waited
is shown in the message in which it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import ProviderItem, Reasoning, ToolCall
from tailrace.protocols import sealed
from tailrace.protocols.anthropic_messages import calls, wire
from tailrace.protocols.anthropic_messages.blocks import Blocks, BlockSlot
from tailrace.protocols.anthropic_messages.sink import MessageFrames, MessageSink
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.attribution import about
from tailrace.protocols.encoder import RUN_ENDS, Table
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.turns import TurnEncoder

WordsDelta = t.TextDelta | t.RefusalDelta
ThoughtDelta = t.ReasoningDelta | t.ReasoningSummaryDelta
THINKING: Object = {"type": "thinking", "thinking": "", "signature": ""}
"""The start of a thinking block."""


class MessagesStreamOptions(Struct, frozen=True):
    """`tools`: whether calls that run on our side are shown. `key` names the extension object of a mount
    that attributes; `""` for other mounts. `turn` as for `TurnEncoder`: a turn of the run is one message,
    or all of it."""

    tools: bool = True
    key: str = ""
    turn: int | None = None


class _Item:
    """A visible item: its slot, the kind of its open block, and whether its reply is abandoned."""

    __slots__ = ("is_abandoned", "kind", "opening", "slot")

    def __init__(self, opening: t.Event, slot: BlockSlot) -> None:
        self.opening = opening
        self.slot = slot
        self.is_abandoned = False
        self.kind: tuple[type[WordsDelta | ThoughtDelta], int] | None = None


class MessageParts(TurnEncoder):
    """A run as the parts of one message, for a sink."""

    def __init__(self, run: str, options: MessagesStreamOptions, sink: MessageSink) -> None:
        super().__init__(run, options.turn)
        self._options = options
        self._sink = sink
        self._open_calls: dict[int, tuple[t.Event, ToolCall]] = {}
        self._model = ""
        self._reset()

    def _reset(self) -> None:
        """Reset what belongs to one message."""
        self._blocks = Blocks(self._sink)
        self._items: dict[int, _Item] = {}
        self._calls: dict[int, t.ItemStarted] = {}
        self._client_called = self._server_called = False
        self._started = False
        self._usage = wire.UsageSum()
        self._last: t.Usage | None = None

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._roster.start(payload)
        self._model = payload.request.model

    def _end_turn(self, event: t.Event) -> None:
        """End the message of this turn with the open questions."""
        self._start_message({})
        for item in self._items.values():
            if item.kind is not None:
                self._blocks.stop(item.slot)
            self._blocks.close(item.slot)
        for question in self._questions.open():
            self._client_called = True
            slot = self._blocks.reserve(event.agent)
            if question.text:
                self._blocks.start(slot, {"type": "text", "text": ""}, {})
                self._blocks.add_text(slot, "text", question.text)
                self._blocks.stop(slot)
            block, deltas = calls.question_call(question)
            self._blocks.add_whole(slot, block, {}, *deltas)
            self._blocks.close(slot)
        reason = "tool_use" if self._client_called else "end_turn"
        self._sink.end_message(
            {"stop_reason": reason, "stop_sequence": None}, self._usage.total(), {}
        )

    def _begin_turn(self, event: t.Event, payload: t.RunResumed) -> None:
        self._sink.restart()
        self._reset()
        if payload.request is not None:
            self._model = payload.request.model

    def _on_run_attempt(self, event: t.Event, payload: t.RunAttempt) -> None:
        for item in self._items.values():
            item.is_abandoned = item.is_abandoned or not payload.keeps_replies

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        for item in self._items.values():
            source = item.opening.node, item.opening.agent
            item.is_abandoned = item.is_abandoned or source == (event.node, event.agent)

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        """An item gets its slot when it begins, unless Messages cannot show it."""
        is_main = self._roster.is_main(event.agent)
        if not self._roster.shows(event.node) or not (is_main or self._options.key):
            return
        self._start_message(_details(event, "reply") if is_main else {})
        hidden = payload.kind in ("image", "audio")
        if payload.kind == "tool_call":
            ours = payload.runs_on != "client"
            hidden = not self._options.tools if ours else bool(payload.waits_for)
            self._server_called = self._server_called or ours or hidden
        if not hidden:
            self._items[payload.item] = _Item(event, self._blocks.reserve(event.agent))

    def _start_message(self, reply: Object) -> None:
        """Start the message, with the fields of the server's `reply`, unless it has started."""
        if self._started:
            return
        self._started = True
        message: Object = {
            "id": ids.message_id(self.run, self._turn),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **reply,
            "usage": wire.first_usage(reply.get("usage", {})),
        }
        self._sink.start_message(message)

    def _on_words(self, event: t.Event, payload: WordsDelta) -> None:
        item = self._items.get(payload.item)
        if item is None or not payload.text:
            return
        if item.kind != (type(payload), payload.part):
            more = payload.details if isinstance(payload, t.TextDelta) else {}
            self._start_text(item, (type(payload), payload.part), more.get(DIALECT, {}))
        self._blocks.add_text(item.slot, "text", payload.text)

    def _start_text(self, item: _Item, kind: tuple[type[WordsDelta], int], more: Object) -> None:
        """Start the block of a message's next part."""
        if item.kind is not None:
            self._blocks.stop(item.slot)
        item.kind = kind
        block = {"type": "text", "text": "", **more}
        self._blocks.start(item.slot, block, self._extension(item.opening))

    def _on_thought(self, event: t.Event, payload: ThoughtDelta) -> None:
        item = self._items.get(payload.item)
        if item is None or not payload.text:
            return
        if item.kind != (type(payload), payload.part):
            before, kind = item.kind, (type(payload), payload.part)
            if before is not None and before[0] is not kind[0]:
                return  # raw thoughts and their summary: only the first of them is shown
            item.kind = kind
            if before is None:
                self._start_thinking(item)
            else:  # one signature covers all of an item's thoughts, so they are one block
                self._blocks.add_text(item.slot, "thinking", "\n\n")
        self._blocks.add_text(item.slot, "thinking", payload.text)

    def _start_thinking(self, item: _Item) -> None:
        block = THINKING | _details(item.opening, "block")
        self._blocks.start(item.slot, block, self._extension(item.opening))

    def _extension(self, opening: t.Event) -> Object:
        """The attribution of a block, if the mount attributes."""
        key = self._options.key
        if not key:
            return {}
        return {key: about(self._roster, opening.agent, ids.job_id(self.run), opening.seq)}

    def _on_annotation_added(self, event: t.Event, payload: t.AnnotationAdded) -> None:
        """A citation unchanged from a server of this dialect, else one of a web page."""
        item, note = self._items.get(payload.item), payload.annotation
        citation = payload.details.get(DIALECT)
        if citation is None and note.get("type") == "url_citation":
            citation = {
                "type": "web_search_result_location",
                "url": note.get("url", ""),
                "title": note.get("title", ""),
                "cited_text": "",
                "encrypted_index": "",
            }
        if item is None or citation is None:
            return
        if item.kind is None or item.kind[1] != payload.part:
            self._start_text(item, (t.TextDelta, payload.part), {})
        self._blocks.add_delta(item.slot, {"type": "citations_delta", "citation": citation})

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        self._questions.complete_call(payload)
        item = self._items.pop(payload.item, None)
        if item is None:
            return
        whole = payload.status == "completed"
        match payload.content:
            case Reasoning() as content:
                self._end_thinking(item, content)
            case ToolCall() as content if whole or not item.is_abandoned:
                self._add_call(item, content, whole=whole)
            case ProviderItem() as content if content.dialect == DIALECT and whole:
                # a block of the provider's own type; SDKs expect some of its fields as deltas
                block, deltas = wire.in_pieces(content.data)
                self._blocks.add_whole(item.slot, block, self._extension(item.opening), *deltas)
            case _:
                pass  # a message's text has streamed; Messages cannot show anything else of it
        if item.kind is not None:
            self._blocks.stop(item.slot)
        self._blocks.close(item.slot)

    def _end_thinking(self, item: _Item, content: Reasoning) -> None:
        """End a thought with its signature: its Messages server's, or our seal of the data that the server
        of another dialect needs back."""
        own: Object | None = content.details.get(DIALECT)
        if own is None:
            summary = item.kind is not None and item.kind[0] is t.ReasoningSummaryDelta
            signature = sealed.of_thought(content.details, summary=summary)
        else:
            signature = own.get("signature", "")
        if item.kind is not None:
            if signature:
                self._blocks.add_text(item.slot, "signature", signature)
        elif own is not None and "data" in own:
            block: Object = {"type": "redacted_thinking", **own}
            self._blocks.add_whole(item.slot, block, self._extension(item.opening))
        elif own is not None or content.details:
            self._start_thinking(item)
            self._stop_wordless(item, signature)

    def _stop_wordless(self, item: _Item, signature: str) -> None:
        """End a thought without text."""
        if signature:
            self._blocks.add_text(item.slot, "signature", signature)
        self._blocks.stop(item.slot)

    def _add_call(self, item: _Item, call: ToolCall, *, whole: bool) -> None:
        """Add a call. A call of the client's tools that a limit cut off is shown as it is, as Anthropic's
        servers do; one of ours is not."""
        started = item.opening.payload
        if not isinstance(started, t.ItemStarted) or not (whole or started.runs_on == "client"):
            return
        if started.runs_on != "client":
            self._open_calls[started.item] = item.opening, call
            if self._options.turn is None or started.waits_for != "approval":
                self._show_server_call(item.slot, started, item.opening, call)
            return
        self._client_called = True
        extension = self._extension(item.opening)
        if signature := sealed.of_call(call):
            self._blocks.start(item.slot, THINKING, extension)
            self._stop_wordless(item, signature)
        block, deltas = calls.client_call(call, whole=whole)
        self._blocks.add_whole(item.slot, block, extension, *deltas)

    def _show_server_call(
        self, slot: BlockSlot, start: t.ItemStarted, opening: t.Event, call: ToolCall
    ) -> None:
        self._calls[start.item] = start
        block, deltas = calls.server_call(start, call)
        self._blocks.add_whole(slot, block, self._extension(opening), *deltas)

    def _on_tool_started(self, event: t.Event, payload: t.ToolStarted) -> None:
        """Show a call that waited, with the arguments that it runs with."""
        self._show_unfinished(payload.item, payload.arguments)

    def _show_unfinished(self, number: int, arguments: str | None = None) -> None:
        """Show a call of an earlier message, or one that waited, unless this message has it."""
        opening, call = self._open_calls.get(number, (None, None))
        if opening is None or call is None or number in self._calls:
            return
        if arguments is not None:
            call = msgspec.structs.replace(call, arguments=arguments)
        if isinstance(opening.payload, t.ItemStarted):
            self._start_message({})
            self._server_called = True
            slot = self._blocks.reserve(opening.agent)
            self._show_server_call(slot, opening.payload, opening, call)
            self._blocks.close(slot)

    def _on_tool_completed(self, event: t.Event, payload: t.ToolCompleted) -> None:
        self._show_unfinished(payload.item)
        self._open_calls.pop(payload.item, None)
        call = self._calls.pop(payload.item, None)
        if call is None:
            return
        slot = self._blocks.reserve(event.agent)
        self._blocks.add_whole(slot, calls.server_result(call, payload), self._extension(event))
        self._blocks.close(slot)

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        if not self._roster.shows(event.node):
            return
        self._usage.add(payload)
        if payload.purpose == "reply" and self._roster.is_main(event.agent):
            self._last = payload
            own = wire.own(payload)
            self._start_message({**own.get("reply", {}), "usage": own.get("usage", {})})

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        if not self.is_on_turn:
            return  # the run has no such turn
        self.done = True
        self._start_message({})
        if isinstance(payload, t.RunFailed | t.RunCancelled):
            self._sink.fail(wire.error(wire.failure(payload), ids.run_id(self.run)))
            return
        own = wire.own(self._last)
        by_side = {"client": self._client_called, "server": self._server_called}
        delta = {**wire.stop(payload, self._last, **by_side), **own.get("delta", {})}
        self._sink.end_message(delta, self._usage.total(), own.get("beside", {}))

    SHOWN: ClassVar[Table] = {
        **TurnEncoder.TURNS,
        t.RunStarted: _on_run_started,
        t.RunAttempt: _on_run_attempt,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.ItemStarted: _on_item_started,
        t.TextDelta: _on_words,
        t.RefusalDelta: _on_words,
        t.ReasoningDelta: _on_thought,
        t.ReasoningSummaryDelta: _on_thought,
        t.AnnotationAdded: _on_annotation_added,
        t.ItemCompleted: _on_item_completed,
        t.ToolStarted: _on_tool_started,
        t.ToolCompleted: _on_tool_completed,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
    }
    HIDDEN = frozenset(
        {
            t.NodeCompleted,
            t.NodeFailed,
            t.AgentCompleted,
            t.ArgumentsDelta,  # a call is shown when it is complete
            t.ImagePartial,
            t.ProviderEvent,
            t.AudioDelta,
            t.TranscriptDelta,
            t.ToolProgress,
            t.CompactionStarted,
            t.CompactionCompleted,
            t.ContextUsage,
            t.Custom,
        }
    )


class MessagesEncoder(MessageParts):
    """`StreamEncoder`: the parts of a run's message as frames."""

    def __init__(self, run: str, options: MessagesStreamOptions) -> None:
        self._message_frames = MessageFrames()
        super().__init__(run, options, self._message_frames)

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        """The frames that these events make, in order."""
        self.read(events)
        return self._message_frames.take() if self.is_on_turn else []


def _details(opening: t.Event, name: str) -> Object:
    """The fields that a Messages server sent for an item when it began, or for the reply that it begins."""
    payload = opening.payload
    details: Object = payload.details if isinstance(payload, t.ItemStarted) else {}
    return any_object(any_object(details.get(DIALECT)).get(name))
