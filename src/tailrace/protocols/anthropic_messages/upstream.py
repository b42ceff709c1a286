"""Messages as Anthropic's servers speak it: our request to one, its events to payloads.

Blocks come strictly one after the other. Text blocks in a row are one message (citations split an
answer into many); thinking keeps its signature in `details["messages"]`; server-run tools are
`provider` items. Anthropic counts cached input apart: here it is added, as everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem
from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages import messages
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, nested
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.upstream import SseReplyDecoder, call_id, http_failure, stream_failure

DIALECT = messages.DIALECT
VERSION = "2023-06-01"
WEB = ("https://", "http://")
_json = msgspec.json.Encoder().encode

FINISH: dict[str, t.Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
SAYS_MORE = ("stop_sequence", "pause_turn", "model_context_window_exceeded")
"""Reasons that `Finish` has no word for."""


class Delta(Struct):
    """A block's delta, or the message's last."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Object | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Event(Struct):
    """Any stream event, flat."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Object | None = None
    message: Object | None = None
    usage: Object | None = None
    error: Object | None = None


_event = msgspec.json.Decoder(Event).decode


class MessagesCodec:
    """`UpstreamCodec` for Anthropic Messages servers."""

    dialect = DIALECT

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        body = messages.encode(request, model)
        betas = body.pop(messages.BETA, ())
        added = {messages.BETA: ",".join(betas)} if betas else {}
        return HttpRequest("/messages", {"anthropic-version": VERSION}, _json(body), added)

    def decoder(self, items: Iterator[int], model: str) -> MessagesDecoder:
        return MessagesDecoder(items, model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body)


class MessagesDecoder(SseReplyDecoder):
    """One reply of a Messages server."""

    def __init__(self, items: Iterator[int], model: str) -> None:
        super().__init__(items, model)
        self._message: int | None = None
        self._length = 0
        self._block: Object = {}
        self._item = -1
        self._input: list[str] = []
        self._usage: Object = {}
        self._stop_reason = self._stop_sequence = ""
        self._id = ""

    def _event(self, event: SseEvent) -> None:
        found = _event(event.data)
        match found.type:
            case "content_block_delta":
                if found.delta is not None:
                    self._delta(found.delta)
            case "content_block_start":
                self._start(found.content_block or {})
            case "content_block_stop":
                self._stop()
            case "message_start":
                message = found.message or {}
                self._id = str(message.get("id") or "")
                self._usage = nested(message, "usage")
            case "message_delta":
                self._count(found.usage or {})
                if found.delta is not None and found.delta.stop_reason:
                    self._stop_reason = found.delta.stop_reason
                    self._stop_sequence = found.delta.stop_sequence or ""
            case "message_stop":
                self._end()
            case "error":
                error = found.error or {}
                self.failure = stream_failure(str(error.get("message") or ""), error.get("type"))
            case _:
                pass  # ping, and what later versions add

    def _start(self, block: Object) -> None:
        self._block, self._input = block, []
        kind = block.get("type")
        if kind == "text":
            if self._message is None:
                self._message = self._open("message")
                self._length = 0
            self._block["start"] = self._length
            self._text(str(block.get("text") or ""))
            return
        self._close_message()
        match kind:
            case "thinking" | "redacted_thinking":
                self._item = self._open("reasoning")
                if block.get("thinking"):
                    self._emit(t.ReasoningDelta(self._item, block["thinking"]))
            case "tool_use":
                self._item = next(self._items)
                name, id = str(block.get("name") or ""), call_id(block.get("id"), self._item)
                self._emit(t.ItemStarted(self._item, "tool_call", name=name, call_id=id))
            case _:
                self._item = self._open("provider", dialect=DIALECT, data=block)

    def _delta(self, delta: Delta) -> None:
        match delta.type:
            case "text_delta":
                self._text(delta.text)
            case "thinking_delta":
                self._emit(t.ReasoningDelta(self._item, delta.thinking))
            case "signature_delta":
                self._block["signature"] = self._block.get("signature", "") + delta.signature
            case "input_json_delta":
                if self._block.get("type") == "tool_use" and delta.partial_json:
                    self._emit(t.ArgumentsDelta(self._item, delta.partial_json))
                self._input.append(delta.partial_json)
            case "citations_delta":
                if delta.citation is not None and self._message is not None:
                    self._cite(self._message, delta.citation)
            case _:
                pass

    def _text(self, text: str) -> None:
        if text and self._message is not None:
            self._emit(t.TextDelta(self._message, text))
            self._length += len(text)

    def _cite(self, message: int, citation: Object) -> None:
        """A citation: of a web page by its address, of a document by its place among those of the request."""
        place = citation.get("document_index")
        note: Object = {
            "type": "file_citation",
            "file_id": str(citation.get("file_id") or ""),
            "filename": str(citation.get("document_title") or citation.get("title") or ""),
            "index": place if isinstance(place, int) else 0,
        }
        url = citation.get("url") or citation.get("source")
        if isinstance(url, str) and url.startswith(WEB):
            note = {
                "type": "url_citation",
                "url": url,
                "title": str(citation.get("title") or ""),
                "start_index": self._block.get("start", 0),
                "end_index": self._length,
            }
        self._emit(t.AnnotationAdded(message, note, details={DIALECT: citation}))

    def _stop(self) -> None:
        block, kind = self._block, self._block.get("type")
        match kind:
            case "text":
                pass  # the next block may go on with the message
            case "thinking" | "redacted_thinking":
                kept = {k: block[k] for k in ("signature", "data") if block.get(k)}
                self._finish(self._item, details={DIALECT: kept} if kept else {})
            case "tool_use":
                if not any(self._input) and block.get("input"):
                    text = _json(block["input"]).decode()
                    self._emit(t.ArgumentsDelta(self._item, text))
                self._finish(self._item)
            case _:
                self._finish(
                    self._item, content=ProviderItem(dialect=DIALECT, data=self._provided(block))
                )
        self._block = {}

    def _provided(self, block: Object) -> Object:
        """A provider's block with the input that was streamed to it."""
        text = "".join(self._input)
        if not text:
            return block
        try:
            given: Json = msgspec.json.decode(text)
        except msgspec.MsgspecError:
            given = text
        return {**block, "input": given}

    def _close_message(self) -> None:
        if self._message is not None:
            self._finish(self._message)
            self._message = None

    def _count(self, usage: Object) -> None:
        """Later counts replace earlier ones: they are totals."""
        self._usage = {**self._usage, **{k: v for k, v in usage.items() if v is not None}}

    def _end(self) -> None:
        self._close_message()
        counts = {k: v for k, v in self._usage.items() if isinstance(v, int)}
        cached = counts.get("cache_read_input_tokens", 0)
        written = counts.get("cache_creation_input_tokens", 0)
        after = nested(self._usage, "output_tokens_details")
        usage = t.Usage(
            self._model,
            input=counts.get("input_tokens", 0) + cached + written,
            cached=cached,
            cache_write=written,
            output=counts.get("output_tokens", 0),
            reasoning=after.get("thinking_tokens") or 0,
            finish=FINISH.get(self._stop_reason, "stop"),
            response_id=self._id,
            reason=self._stop_reason if self._stop_reason in SAYS_MORE else "",
            stop_sequence=self._stop_sequence,
        )
        self._emit(usage)
        self.done = True
