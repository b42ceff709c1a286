"""A run as a Messages event stream: events to frames (docs of 2026-10-21, and both SDKs).

The whole run is one message, its blocks in the order in which the items began. Text and thinking stream; a
call is shown when it is whole, because the SDKs stop at arguments that are no JSON, and a model's may be
none. Calls of the client's tools are `tool_use`; calls that run on our side are `mcp_tool_use` with their
`mcp_tool_result`, or not shown at all to clients that stumble over those (`Options.tools`). The message
starts with what a Messages server said of it, so not before the first item; counts come with the last delta
and replace those of the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem, Reasoning, ToolCall
from tailrace.protocols import sealed
from tailrace.protocols.anthropic_messages import wire
from tailrace.protocols.anthropic_messages.blocks import Blocks, BlockSlot
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.attribution import Roster, about
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.framing.json_line import encode as _json

Hot = t.TextDelta | t.RefusalDelta | t.ReasoningDelta | t.ReasoningSummaryDelta
HOT = (t.TextDelta, t.RefusalDelta, t.ReasoningDelta, t.ReasoningSummaryDelta)
"""What most events of a run are: it does not walk through the whole match."""
THOUGHT: Object = {"type": "thinking", "thinking": "", "signature": ""}
"""How thinking begins."""


class MessagesStreamOptions(Struct, frozen=True):
    """`tools`: whether calls that run on our side are shown. `key` names the extension object of a mount
    that attributes, `""` elsewhere."""

    tools: bool = True
    key: str = ""


class _Item:
    """An item that is shown: its place, of what a block has begun there, whether its reply is given anew."""

    __slots__ = ("gone", "kind", "opening", "place")

    def __init__(self, opening: t.Event, place: BlockSlot) -> None:
        self.opening = opening
        self.place = place
        self.gone = False
        self.kind: tuple[type[Hot], int] | None = None


class MessagesEncoder:
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: MessagesStreamOptions) -> None:
        self.done = False
        self._run = run
        self._options = options
        self._roster = Roster()
        self._blocks = Blocks()
        self._items: dict[int, _Item] = {}
        self._calls: dict[int, t.ItemStarted] = {}
        self._handed = self._ran = False
        self._begun = False
        self._model = ""
        self._counted = wire.Counted()
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
        if item.kind != (type(payload), payload.part):
            if thinks and item.kind is not None and item.kind[0] is not type(payload):
                return  # of raw thoughts and their summary the one that came first is shown
            self._next(item, payload, thinks=thinks)
        if thinks:
            delta = b'{"type":"thinking_delta","thinking":%b}' % _json(payload.text)
        else:
            delta = b'{"type":"text_delta","text":%b}' % _json(payload.text)
        self._blocks.delta(item.place, delta)

    def _next(self, item: _Item, payload: Hot | t.AnnotationAdded, *, thinks: bool = False) -> None:
        """Begin the block of an item's next part."""
        before, item.kind = item.kind, (_kind(payload), payload.part)
        if thinks and before is not None:
            self._blocks.delta(item.place, b'{"type":"thinking_delta","thinking":"\\n\\n"}')
            return  # one signature closes all of an item's thoughts
        if before is not None:
            self._blocks.stop(item.place)
        start: Object = THOUGHT | _said(item.opening, "block")
        if not thinks:
            more = payload.details if isinstance(payload, t.TextDelta) else {}
            start = {"type": "text", "text": "", **more.get(DIALECT, {})}
        self._blocks.start(item.place, start, self._extra(item.opening))

    def _other(self, event: t.Event) -> None:  # noqa: C901 - one arm per family
        payload = event.payload
        match payload:
            case t.RunStarted():
                self._roster.started(payload)
                self._model = payload.request.model
            case t.AgentStarted():
                self._roster.joined(event.agent, payload)
            case t.NodeStarted():
                self._roster.opened(event.node, payload)
            case t.ItemStarted():
                if self._roster.shows(event.node) and self._shows(event.agent):
                    self._opened(event, payload)
            case t.AnnotationAdded():
                self._cite(payload)
            case t.ItemCompleted():
                item = self._items.pop(payload.item, None)
                if item is not None:
                    self._completed(item, payload)
            case t.ToolCompleted():
                self._result(event, payload)
            case t.ReplyAbandoned():
                for item in self._items.values():
                    made_by = item.opening.node, item.opening.agent
                    item.gone = item.gone or made_by == (event.node, event.agent)
            case t.RunAttempt():
                for item in self._items.values():
                    item.gone = item.gone or not payload.keeps_replies
            case t.Usage():
                if self._roster.shows(event.node):
                    self._count(event.agent, payload)
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._ended(payload)
            case t.TextDelta() | t.RefusalDelta() | t.ReasoningDelta() | t.ReasoningSummaryDelta():
                pass  # taken before
            case (
                t.RunWaiting()
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

    def _opened(self, event: t.Event, payload: t.ItemStarted) -> None:
        """An item gets its place when it begins, except one that has no form here."""
        self._start(_said(event, "reply") if self._roster.is_main(event.agent) else {})
        hidden = payload.kind in ("image", "audio")
        if payload.kind == "tool_call":
            ours = payload.runs_on != "client"
            hidden = not self._options.tools if ours else bool(payload.waits_for)
            self._ran = self._ran or ours or hidden
        if not hidden:
            place = self._blocks.reserve(event.agent)
            self._items[payload.item] = _Item(event, place)

    def _count(self, agent: str, usage: t.Usage) -> None:
        self._counted.add(usage)
        if usage.purpose == "reply" and self._roster.is_main(agent):
            self._last = usage
            told = wire.told(usage)
            self._start({**told.get("reply", {}), "usage": told.get("usage", {})})

    def _shows(self, agent: str) -> bool:
        return bool(self._options.key) or self._roster.is_main(agent)

    def _extra(self, opening: t.Event) -> bytes:
        """Whose block it is, where the mount attributes."""
        key = self._options.key
        if not key:
            return b""
        told = about(self._roster, opening.agent, ids.job_id(self._run), opening.seq)
        return b',"%b":%b' % (key.encode(), _json(told))

    def _start(self, reply: Object) -> None:
        """The message starts, with what its server said of it."""
        if self._begun:
            return
        self._begun = True
        message: Object = {
            "id": ids.message_id(self._run),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            **reply,
            "usage": wire.started(reply.get("usage", {})),
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
        if item is None or citation is None:
            return
        if item.kind is None or item.kind[1] != payload.part:
            self._next(item, payload)
        self._blocks.delta(item.place, _json({"type": "citations_delta", "citation": citation}))

    def _completed(self, item: _Item, payload: t.ItemCompleted) -> None:
        content = payload.content
        whole = payload.status == "completed"
        match content:
            case Reasoning():
                self._thought(item, content)
            case ToolCall() if whole or not item.gone:
                self._called(item, content, whole=whole)
            case ProviderItem() if content.dialect == DIALECT and whole:
                self._provided(item, content.data)
            case _:
                pass  # a message's text has streamed; the rest has no form here
        if item.kind is not None:
            self._blocks.stop(item.place)
        self._blocks.leave(item.place)

    def _thought(self, item: _Item, content: Reasoning) -> None:
        """A thought goes with its signature: its Messages server's, or one of ours for what another dialect's
        server needs to get back."""
        kept: Object | None = content.details.get(DIALECT)
        if kept is None:
            summary = item.kind is not None and item.kind[0] is t.ReasoningSummaryDelta
            signature = sealed.of_thought(content.details, summary=summary)
        else:
            signature = kept.get("signature", "")
        if item.kind is not None:
            if signature:
                self._blocks.delta(item.place, _signed(signature))
            return
        if kept is not None and "data" in kept:
            start: Object = {"type": "redacted_thinking", **kept}
            self._blocks.whole(item.place, start, extra=self._extra(item.opening))
        elif kept is not None or content.details:
            start = THOUGHT | _said(item.opening, "block")
            self._unspoken(item, start, signature)

    def _unspoken(self, item: _Item, start: Object, signature: str) -> None:
        """A thought without a word."""
        self._blocks.start(item.place, start, self._extra(item.opening))
        if signature:
            self._blocks.delta(item.place, _signed(signature))
        self._blocks.stop(item.place)

    def _called(self, item: _Item, call: ToolCall, *, whole: bool) -> None:
        """A call; what a limit left of one is shown as it is, as Anthropic's servers do, but of ours none."""
        started = item.opening.payload
        if not isinstance(started, t.ItemStarted) or not (whole or started.runs_on == "client"):
            return
        own: Object = dict(call.details.get(DIALECT, {}).get("block", {}))
        start: Object = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
        if started.runs_on == "client":
            self._handed = True
            if signature := sealed.of_call(call):
                self._unspoken(item, THOUGHT, signature)
            start |= own
        else:
            self._calls[started.item] = started
            server = started.server_label or wire.SERVER
            start |= {"type": "mcp_tool_use", "server_name": server}
        said = _arguments(call) if whole else call.arguments
        deltas: list[Object] = [{"type": "input_json_delta", "partial_json": said}] if said else []
        self._blocks.whole(item.place, start, *deltas, extra=self._extra(item.opening))

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
        place = self._blocks.reserve(event.agent)
        self._blocks.whole(place, result, extra=self._extra(event))
        self._blocks.leave(place)

    def _provided(self, item: _Item, data: dict[str, Json]) -> None:
        """A block of the provider's own: what is told in pieces comes as a delta, as the SDKs expect."""
        start, deltas = wire.in_pieces(data)
        self._blocks.whole(item.place, start, *deltas, extra=self._extra(item.opening))

    def _ended(self, end: t.RunEnd) -> None:
        self.done = True
        self._start({})
        failed = wire.ended_badly(end)
        if failed is not None:
            self._event("error", wire.error(wire.failure(failed), ids.run_id(self._run)))
        elif isinstance(end, t.RunCompleted | t.RunIncomplete):
            told = wire.told(self._last)
            delta = {
                **wire.ended(end, self._last, handed=self._handed, ran=self._ran),
                **told.get("delta", {}),
            }
            counts = {"usage": self._counted.usage()}
            self._event("message_delta", {"delta": delta, **counts, **told.get("beside", {})})
            self._event("message_stop", {})

    def _event(self, kind: str, fields: Object) -> None:
        data = _json({"type": kind, **fields})
        self._blocks.frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))


def _kind(payload: Hot | t.AnnotationAdded) -> type[Hot]:
    return t.TextDelta if isinstance(payload, t.AnnotationAdded) else type(payload)


def _said(opening: t.Event, name: str) -> Object:
    """What a Messages server said of an item when it began, or of the reply that it begins."""
    payload = opening.payload
    details: Object = payload.details if isinstance(payload, t.ItemStarted) else {}
    return any_object(any_object(details.get(DIALECT)).get(name))


def _signed(signature: str) -> bytes:
    return _json({"type": "signature_delta", "signature": signature})


def _arguments(call: ToolCall) -> str:
    """A call's arguments as a JSON object in text, whatever the model wrote."""
    try:
        given: Json = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        given = None
    if isinstance(given, dict):
        return call.arguments or "{}"
    return msgspec.json.encode({"arguments": call.arguments}).decode()
