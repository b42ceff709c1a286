"""The Messages API of Anthropic's and many other servers: our request to one, its events to payloads.

Blocks are identified by `index`: they may overlap, and some servers never stop one. A block without an
index is the one that began last. Consecutive text blocks are the parts of one message (citations split an
answer into many); thinking keeps its signature in `details["messages"]`; blocks that only Messages servers
know are `provider` items. A reply is complete when it stops, or when it gave a stop reason before its end.
Unexpected harmless data is ignored. Anthropic excludes cached input from its count of input: it is added
here, as everywhere else.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.events.request import ModelRequest
from tailrace.protocols.anthropic_messages import messages, tools
from tailrace.protocols.anthropic_messages.parts import words
from tailrace.protocols.anthropic_messages.reply_blocks import (
    OpenMessage,
    ReplyBlock,
    any_list,
    begin,
    without,
)
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, any_object, objects, without_empty
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.upstream import (
    SseReplyDecoder,
    http_failure,
)
from tailrace.protocols.upstream_errors import server_failure
from tailrace.protocols.upstream_events import words as all_words

VERSION = "2023-06-01"
_json = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

FINISH: dict[str, t.Finish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
FAILED = ("abort", "error")
"""Stop reasons of some servers for a failed reply."""
BLOCK_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking"}
"""The type of the block that a delta without a block begins."""
OF_MESSAGE = (
    "id",
    "type",
    "role",
    "model",
    "content",
    "stop_reason",
    "stop_sequence",
    "usage",
)
OF_DELTA = ("stop_reason", "stop_sequence")
OF_EVENT = ("type", "delta", "usage")
"""Fields that payloads have; others are kept unchanged."""
BAD_REQUEST = 400
THOUGHTS = ("thinking", "redacted_thinking")
MOST = 2**53
"""Greater counts are invalid."""


def unthinking(body: Object, refusal: ModelFailed) -> bytes:
    """The same request without thinking, for a server that thinks by default and refuses calls without
    their thinking, which clients of other dialects do not return; `b""` for other refusals."""
    if refusal.status != BAD_REQUEST or "thinking" not in refusal.message:
        return b""
    turns = [_unthought(turn) for turn in objects(body["messages"])]
    if not any(block.get("type") == "tool_use" for turn in turns for block in _blocks(turn)):
        return b""
    messages_ = [turn for turn in turns if turn["content"]]
    return _json({**body, "messages": messages_, "thinking": {"type": "disabled"}})


def _unthought(turn: Object) -> Object:
    """A message without thinking: when thinking is disabled the API refuses it in the last message."""
    if isinstance(turn["content"], str):
        return turn
    left = [block for block in _blocks(turn) if block.get("type") not in THOUGHTS]
    return {**turn, "content": left}


def _blocks(turn: Object) -> list[Object]:
    return objects(turn["content"])


class MessagesCodec:
    """`UpstreamCodec` for Anthropic Messages servers."""

    dialect: str = DIALECT

    def __init__(self, *, prefill: bool = False) -> None:
        """`prefill`: whether the server's model continues the last assistant message (Claude's do up to
        4.5)."""
        self._prefill = prefill

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        body = messages.encode(request, model)
        if self._prefill and request.beginning:
            # Anthropic refuses white space at its end; the continuation brings it.
            prefill = {"role": "assistant", "content": request.beginning.rstrip()}
            body["messages"] = [*body["messages"], prefill]
        betas = body.pop(messages.BETA, ())
        beta_header = {messages.BETA: ",".join(betas)} if betas else {}
        offered_tools = tools.offered_tools(request, messages.names_of(request))
        theirs = request.settings.origin == DIALECT
        return HttpRequest(
            "/messages",
            {"anthropic-version": VERSION},
            _json(body),
            beta_header,
            offered_tools,
            None if theirs else partial(unthinking, body),
        )

    def decoder(self, model: str) -> MessagesDecoder:
        return MessagesDecoder(model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body, self.dialect)


class MessagesDecoder(SseReplyDecoder):
    """One reply of a Messages server."""

    dialect = DIALECT

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._open_blocks: dict[Json, ReplyBlock] = {}
        self._message: OpenMessage | None = None
        self._usage: Object = {}
        self._reply_fields: Object = {}
        self._has_items = False
        self._delta: Object = {}
        self._beside: Object = {}
        self._stop_reason = self._stop_sequence = ""
        self._id = ""

    def _event(self, event: SseEvent) -> None:
        data, kind = _read(event)
        if kind == "error":
            self._on_error(data)
            return
        match kind:
            case "content_block_delta":
                self._add(data.get("index"), any_object(data.get("delta")))
            case "content_block_start":
                self._start(data.get("index"), any_object(data.get("content_block")))
            case "content_block_stop":
                self._stop(data.get("index"))
            case "message_start":
                self._on_message_start(any_object(data.get("message")))
            case "message_delta":
                self._on_message_delta(data)
            case "message_stop":
                self._end()
            case "message":  # all of the reply in one event
                self._on_message_start(data)
                self._on_message_delta({"delta": {name: data.get(name) for name in OF_DELTA}})
                self._end()
            case _:
                pass  # ping, and types of later versions

    def _end_without_final_event(self) -> None:
        """The connection ended: after a stop reason, the reply is complete."""
        if self._stop_reason:
            self._end()
        else:
            super()._end_without_final_event()

    def _on_error(self, data: Object) -> None:
        message = words(any_object(data.get("error")).get("message")) or words(data.get("message"))
        self.failure = server_failure(message or all_words(data), data)

    def _on_message_start(self, message: Object) -> None:
        self._id = words(message.get("id"))
        self._usage = _without_nulls(any_object(message.get("usage")))
        self._reply_fields = without(message, OF_MESSAGE)
        for block in any_list(message.get("content")):
            self._start(None, any_object(block))
            self._stop(None)

    def _on_message_delta(self, data: Object) -> None:
        """Counts are totals: later ones replace earlier ones."""
        self._usage |= _without_nulls(any_object(data.get("usage")))
        delta = any_object(data.get("delta"))
        self._delta |= without(delta, OF_DELTA)
        self._beside |= without(data, OF_EVENT)
        if reason := words(delta.get("stop_reason")):
            self._stop_reason, self._stop_sequence = reason, words(delta.get("stop_sequence"))

    def _start(self, index: Json, block: Object) -> None:
        key = self._key(index, new=True)
        if key in self._open_blocks:
            self._stop(key)
        if block.get("type") == "text":
            open_block = self._text(block)
        else:
            self._leave()
            open_block = begin(self._item, block)
        self._open_blocks[key] = open_block
        open_block.start(self._emit)

    def _text(self, block: Object) -> ReplyBlock:
        """A text block joins the message before it, unless a text of that is still open."""
        message = self._message
        if message is None or message.busy:
            self._leave()
            message = self._message = OpenMessage(self._item("message"))
        return message.block(block)

    def _leave(self) -> None:
        """Close the open message for further text."""
        message, self._message = self._message, None
        if message is not None:
            message.end(self._emit)

    def _item(self, kind: t.ItemKind, **fields: object) -> int:
        """Open an item. The first one of a reply carries the reply's own fields."""
        item = next(self._items)
        reply = (
            {}
            if self._has_items
            else {**self._reply_fields, **without_empty({"usage": dict(self._usage)})}
        )
        self._has_items = True
        details = without_empty({"reply": reply, "block": fields.pop("block", None)})
        if "call_id" in fields:
            fields["call_id"] = words(fields["call_id"])
        arguments = cast("dict[str, Any]", fields)
        self._emit(t.ItemStarted(item, kind, details=_dialect_details(details), **arguments))
        return item

    def _add(self, index: Json, delta: Object) -> None:
        key = self._key(index)
        if key not in self._open_blocks:
            block_type = BLOCK_OF_DELTA.get(words(delta.get("type")))
            if block_type is None:
                return
            self._start(key, {"type": block_type})
        self._open_blocks[key].add(delta, self._emit)

    def _stop(self, index: Json) -> None:
        open_block = self._open_blocks.pop(self._key(index), None)
        if open_block is not None:
            open_block.stop(self._emit)

    def _key(self, index: Json, *, new: bool = False) -> Json:
        """A block's index; for an event without one, the block that was opened last."""
        if isinstance(index, (int, str)) and not isinstance(index, bool):
            return index
        if new:
            return f"after {len(self._open_blocks)}"
        return next(reversed(self._open_blocks), None)

    def _end(self) -> None:
        for key in tuple(self._open_blocks):
            self._stop(key)
        self._leave()
        if self._stop_reason in FAILED:
            self.failure = ModelFailed(
                f"The model server ended its reply with {self._stop_reason!r}."
            )
            return
        cached = _count(self._usage, "cache_read_input_tokens")
        cache_write = _count(self._usage, "cache_creation_input_tokens")
        usage = t.Usage(
            self._model,
            input=_count(self._usage, "input_tokens") + cached + cache_write,
            cached=cached,
            cache_write=cache_write,
            output=_count(self._usage, "output_tokens"),
            reasoning=_count(
                any_object(self._usage.get("output_tokens_details")), "thinking_tokens"
            ),
            finish=FINISH.get(self._stop_reason, "stop"),
            response_id=self._id,
            reason=self._stop_reason,
            stop_sequence=self._stop_sequence,
            details=self._details(),
        )
        self._emit(usage)
        self.done = True

    def _details(self) -> Object:
        """The fields of the reply that payloads do not have."""
        reply = {} if self._has_items else self._reply_fields
        fields = {
            "reply": reply,
            "usage": self._usage,
            "delta": self._delta,
            "beside": self._beside,
        }
        return _dialect_details(without_empty(fields))


def _dialect_details(fields: Object) -> Object:
    return {DIALECT: fields} if fields else {}


def _read(event: SseEvent) -> tuple[Object, str]:
    """An event and its type. An event that reports an error is an error, in whatever form."""
    try:
        data = any_object(_decode(event.data))
    except msgspec.MsgspecError:
        if event.event != "error":
            raise
        data = {}
    if data.get("error") or "error" in (event.event, data.get("object")):
        return data, "error"
    kind = data.get("type") or event.event
    if not isinstance(kind, str):
        raise TypeError("its type is not a string")
    return data, kind


def _without_nulls(fields: Object) -> Object:
    """Fields that are not null; counts as integers."""
    values: Object = {}
    for name, value in fields.items():
        if name.endswith("tokens"):
            values[name] = _count(fields, name)
        elif value is not None:
            values[name] = value
    return values


def _count(fields: Object, name: str) -> int:
    """A count of tokens: some servers send fractions, or null."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < MOST:
        return 0
    return int(value)
