"""A run as a Messages event stream: events to frames (docs of 2026-10-21, and both SDKs).

The whole run is one message. Text and thinking stream; a call is shown when it is whole, because the SDKs
stop at arguments that are no JSON, and a model's may be none. Calls of the client's tools are `tool_use`;
calls that run on our side are `mcp_tool_use` with their `mcp_tool_result`, or not shown at all to clients
that stumble over those (`Options.tools`). Counts come with the last delta and replace those of the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem, Reasoning, ToolCall
from tailrace.events.usage import Totals
from tailrace.protocols.anthropic_messages import wire
from tailrace.protocols.anthropic_messages.blocks import Block, Blocks
from tailrace.protocols.anthropic_messages.messages import DIALECT
from tailrace.protocols.attribution import Roster, about
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json

SERVER = "tailrace"
"""The MCP server whose tools a run's own functions are said to be."""

Hot = t.TextDelta | t.RefusalDelta | t.ReasoningDelta | t.ReasoningSummaryDelta
HOT = (t.TextDelta, t.RefusalDelta, t.ReasoningDelta, t.ReasoningSummaryDelta)
"""What most events of a run are: it does not walk through the whole match."""


class Options(Struct, frozen=True):
    """`tools`: whether calls that run on our side are shown. `key` names the extension object of a mount
    that attributes, `""` elsewhere."""

    tools: bool = True
    key: str = ""


class _Item:
    """An item that is shown: its block so far, and what that block is of."""

    __slots__ = ("block", "kind", "opening")

    def __init__(self, opening: t.Event) -> None:
        self.opening = opening
        self.block: Block | None = None
        self.kind: tuple[type[Hot], int] | None = None


class Encoder:
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: Options) -> None:
        self.done = False
        self._run = run
        self._options = options
        self._roster = Roster()
        self._blocks = Blocks()
        self._items: dict[int, _Item] = {}
        self._calls: dict[int, t.ItemStarted] = {}
        self._handed = False
        self._totals = Totals()
        self._last: t.Usage | None = None

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        for event in events:
            payload = event.payload
            if isinstance(payload, HOT):
                item = self._items.get(payload.item)
                if item is not None:
                    self._delta(item, payload)
            else:
                self._other(event)
        return self._blocks.take()

    def _delta(self, item: _Item, payload: Hot) -> None:
        if not payload.text:
            return
        thinks = isinstance(payload, t.ReasoningDelta | t.ReasoningSummaryDelta)
        block = item.block
        if item.kind != (type(payload), payload.part) or block is None:
            if thinks and item.kind is not None and item.kind[0] is not type(payload):
                return  # of raw thoughts and their summary the one that came first is shown
            block = self._next(item, payload, thinks=thinks)
        if thinks:
            delta = b'{"type":"thinking_delta","thinking":%b}' % _json(payload.text)
        else:
            delta = b'{"type":"text_delta","text":%b}' % _json(payload.text)
        self._blocks.delta(block, delta)

    def _next(self, item: _Item, payload: Hot, *, thinks: bool) -> Block:
        """The block of an item's next part."""
        if thinks and item.block is not None:
            self._blocks.delta(item.block, b'{"type":"thinking_delta","thinking":"\\n\\n"}')
            item.kind = (type(payload), payload.part)
            return item.block  # one signature closes all of an item's thoughts
        if item.block is not None:
            self._blocks.end(item.block)
        start: Object = {"type": "text", "text": ""}
        if thinks:
            start = {"type": "thinking", "thinking": "", "signature": ""}
        item.kind = (type(payload), payload.part)
        item.block = self._blocks.open(start, self._extra(item.opening))
        return item.block

    def _other(self, event: t.Event) -> None:  # noqa: C901 - one arm per family
        payload = event.payload
        match payload:
            case t.RunStarted():
                self._roster.started(payload)
                self._started(event, payload)
            case t.AgentStarted():
                self._roster.joined(event.agent, payload)
            case t.NodeStarted():
                self._roster.opened(event.node, payload)
            case t.ItemStarted():
                if self._roster.shows(event.node) and self._shows(event.agent):
                    self._items[payload.item] = _Item(event)
            case t.AnnotationAdded():
                self._cite(payload)
            case t.ItemCompleted():
                item = self._items.pop(payload.item, None)
                if item is not None:
                    self._completed(item, payload)
            case t.ToolCompleted():
                self._result(event, payload)
            case t.Usage():
                if self._roster.shows(event.node):
                    self._count(event.agent, payload)
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._ended(payload)
            case t.TextDelta() | t.RefusalDelta() | t.ReasoningDelta() | t.ReasoningSummaryDelta():
                pass  # taken before
            case (
                t.RunAttempt()
                | t.RunWaiting()
                | t.RunResumed()
                | t.NodeCompleted()
                | t.NodeFailed()
                | t.AgentCompleted()
                | t.ArgumentsDelta()
                | t.ImagePartial()
                | t.ProviderEvent()
                | t.AudioDelta()
                | t.TranscriptDelta()
                | t.ToolStarted()
                | t.ToolProgress()
                | t.ApprovalRequested()
                | t.ApprovalResolved()
                | t.InputRequested()
                | t.InputReceived()
                | t.CompactionStarted()
                | t.CompactionCompleted()
                | t.ContextUsage()
                | t.Custom()
            ):
                pass  # no form on this surface
            case _:
                assert_never(payload)

    def _count(self, agent: str, usage: t.Usage) -> None:
        self._totals += Totals.of(usage)
        if usage.purpose == "reply" and self._roster.is_main(agent):
            self._last = usage

    def _shows(self, agent: str) -> bool:
        return bool(self._options.key) or self._roster.is_main(agent)

    def _extra(self, opening: t.Event) -> bytes:
        """Whose block it is, where the mount attributes."""
        key = self._options.key
        if not key:
            return b""
        told = about(self._roster, opening.agent, ids.job_id(self._run), opening.seq)
        return b',"%b":%b' % (key.encode(), _json(told))

    def _started(self, event: t.Event, payload: t.RunStarted) -> None:
        message: Object = {
            "id": ids.message_id(self._run),
            "type": "message",
            "role": "assistant",
            "model": payload.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": wire.usage(Totals()),
        }
        self._event("message_start", {"message": message})

    def _cite(self, payload: t.AnnotationAdded) -> None:
        """A citation as it came from a server of this dialect, else one of a web page."""
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
        if item is None or item.block is None or citation is None:
            return
        self._blocks.delta(item.block, _json({"type": "citations_delta", "citation": citation}))

    def _completed(self, item: _Item, payload: t.ItemCompleted) -> None:
        content = payload.content
        match content:
            case Reasoning():
                self._thought(item, content)
            case ToolCall() if payload.status == "completed":
                self._called(item, content)
            case ProviderItem() if content.dialect == DIALECT and payload.status == "completed":
                self._provided(item, content.data)
            case _:
                pass  # a message's text has streamed; the rest has no form here
        if item.block is not None:
            self._blocks.end(item.block)

    def _thought(self, item: _Item, content: Reasoning) -> None:
        kept: Object = content.details.get(DIALECT, {})
        if item.block is not None and kept.get("signature"):
            delta = {"type": "signature_delta", "signature": kept["signature"]}
            self._blocks.delta(item.block, _json(delta))
        elif item.block is None and kept.get("data"):
            start: Object = {"type": "redacted_thinking", "data": kept["data"]}
            self._blocks.whole(start, extra=self._extra(item.opening))

    def _called(self, item: _Item, call: ToolCall) -> None:
        started = item.opening.payload
        if not isinstance(started, t.ItemStarted):
            return
        start: Object = {"id": call.call_id, "name": call.name, "input": {}}
        if started.runs_on == "client":
            if started.waits_for:
                return  # a question, which is answered elsewhere
            self._handed = True
            start = {"type": "tool_use", **start}
        elif self._options.tools:
            self._calls[started.item] = started
            server = started.server_label or SERVER
            start = {"type": "mcp_tool_use", **start, "server_name": server}
        else:
            return
        delta: Object = {"type": "input_json_delta", "partial_json": _arguments(call)}
        self._blocks.whole(start, delta, extra=self._extra(item.opening))

    def _result(self, event: t.Event, payload: t.ToolCompleted) -> None:
        call = self._calls.pop(payload.item, None)
        if call is None:
            return
        result: Object = {
            "type": "mcp_tool_result",
            "tool_use_id": call.call_id,
            "is_error": payload.is_error,
            "content": [{"type": "text", "text": payload.output}],
        }
        self._blocks.whole(result, extra=self._extra(event))

    def _provided(self, item: _Item, data: dict[str, Json]) -> None:
        """A block of the provider's own: its input comes as a delta, as the SDKs expect."""
        if "input" not in data:
            return self._blocks.whole(data, extra=self._extra(item.opening))
        given = msgspec.json.encode(data["input"]).decode()
        delta: Object = {"type": "input_json_delta", "partial_json": given}
        return self._blocks.whole({**data, "input": {}}, delta, extra=self._extra(item.opening))

    def _ended(self, end: t.RunEnd) -> None:
        self.done = True
        failed = wire.ended_badly(end)
        if failed is not None:
            self._event("error", wire.error(wire.failure(failed), ids.run_id(self._run)))
        elif isinstance(end, t.RunCompleted | t.RunIncomplete):
            delta = wire.ended(end, self._last, calls=self._handed)
            usage = wire.usage(self._totals)
            self._event("message_delta", {"delta": delta, "usage": usage})
            self._event("message_stop", {})

    def _event(self, kind: str, fields: Object) -> None:
        data = _json({"type": kind, **fields})
        self._blocks.frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))


def _arguments(call: ToolCall) -> str:
    """A call's arguments as a JSON object in text, whatever the model wrote."""
    try:
        given: Json = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        given = None
    if isinstance(given, dict):
        return call.arguments or "{}"
    return msgspec.json.encode({"arguments": call.arguments}).decode()
