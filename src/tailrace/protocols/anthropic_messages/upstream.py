"""Messages as Anthropic's servers, and many others, speak it: our request to one, its events to payloads.

Blocks are told apart by `index`: they may overlap, and some servers never stop one. A block without an
index is the one that began last. Text blocks in a row are the parts of one message (citations split an
answer into many); thinking keeps what it is signed with in `details["messages"]`; what only such a server
knows are `provider` items. A reply is whole when it stops, or when a reason to stop was given before its
end. What is odd and harmless is read over. Anthropic counts cached input apart: here it is added, as
everywhere else.
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
    Opened,
    Spoken,
    any_list,
    begin,
    without,
)
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, any_object, given, objects
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.upstream import (
    SseReplyDecoder,
    http_failure,
)
from tailrace.protocols.upstream_errors import reported
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
"""Reasons to stop that some servers give for what is no reply."""
IMPLIED = {"text_delta": "text", "thinking_delta": "thinking"}
"""What a delta without a block begins."""
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
"""Fields that have a place of their own; others are kept as they came."""
REFUSED = 400
THOUGHTS = ("thinking", "redacted_thinking")
MOST = 2**53
"""Counts beyond this are none."""


def unthinking(body: Object, refusal: ModelFailed) -> bytes:
    """The same request without thinking, for a server that thinks by default and refuses calls without the
    thinking that led to them; `b""` for other refusals. Clients of other dialects need not give it back."""
    if refusal.status != REFUSED or "thinking" not in refusal.message:
        return b""
    turns = [_unthought(turn) for turn in objects(body["messages"])]
    if not any(block.get("type") == "tool_use" for turn in turns for block in _blocks(turn)):
        return b""
    said = [turn for turn in turns if turn["content"]]
    return _json({**body, "messages": said, "thinking": {"type": "disabled"}})


def _unthought(turn: Object) -> Object:
    """A message without thinking: where it is off, none may stand in the last one."""
    if isinstance(turn["content"], str):
        return turn
    left = [block for block in _blocks(turn) if block.get("type") not in THOUGHTS]
    return {**turn, "content": left}


def _blocks(turn: Object) -> list[Object]:
    return objects(turn["content"])


class MessagesCodec:
    """`UpstreamCodec` for Anthropic Messages servers."""

    dialect = DIALECT

    def __init__(self, *, prefill: bool = False) -> None:
        """`prefill`: the server's model goes on from an assistant's last message (Claude's do up to 4.5)."""
        self._prefill = prefill

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        body = messages.encode(request, model)
        if self._prefill and request.begun:
            # Anthropic refuses white space at its end; what follows brings it.
            begun = {"role": "assistant", "content": request.begun.rstrip()}
            body["messages"] = [*body["messages"], begun]
        betas = body.pop(messages.BETA, ())
        added = {messages.BETA: ",".join(betas)} if betas else {}
        offered = tools.offered(request, messages.names_of(request))
        theirs = request.settings.origin == DIALECT
        return HttpRequest(
            "/messages",
            {"anthropic-version": VERSION},
            _json(body),
            added,
            offered,
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
        self._open_blocks: dict[Json, Opened] = {}
        self._spoken: Spoken | None = None
        self._usage: Object = {}
        self._told: Object = {}
        self._begun = False
        self._delta: Object = {}
        self._beside: Object = {}
        self._stop_reason = self._stop_sequence = ""
        self._id = ""

    def _event(self, event: SseEvent) -> None:
        found, kind = _read(event)
        if kind == "error":
            self._failed(found)
            return
        match kind:
            case "content_block_delta":
                self._add(found.get("index"), any_object(found.get("delta")))
            case "content_block_start":
                self._start(found.get("index"), any_object(found.get("content_block")))
            case "content_block_stop":
                self._stop(found.get("index"))
            case "message_start":
                self._message(any_object(found.get("message")))
            case "message_delta":
                self._ending(found)
            case "message_stop":
                self._end()
            case "message":  # the whole of it at once
                self._message(found)
                self._ending({"delta": {name: found.get(name) for name in OF_DELTA}})
                self._end()
            case _:
                pass  # ping, and what later versions add

    def _closed(self) -> None:
        """The connection ended: after a reason to stop, the reply is whole."""
        if self._stop_reason:
            self._end()
        else:
            super()._closed()

    def _failed(self, found: Object) -> None:
        said = words(any_object(found.get("error")).get("message")) or words(found.get("message"))
        self.failure = reported(said or all_words(found), found)

    def _message(self, message: Object) -> None:
        self._id = words(message.get("id"))
        self._usage = _said(any_object(message.get("usage")))
        self._told = without(message, OF_MESSAGE)
        for block in any_list(message.get("content")):
            self._start(None, any_object(block))
            self._stop(None)

    def _ending(self, found: Object) -> None:
        """Counts are totals: later ones replace earlier ones."""
        self._usage |= _said(any_object(found.get("usage")))
        delta = any_object(found.get("delta"))
        self._delta |= without(delta, OF_DELTA)
        self._beside |= without(found, OF_EVENT)
        if reason := words(delta.get("stop_reason")):
            self._stop_reason, self._stop_sequence = reason, words(delta.get("stop_sequence"))

    def _start(self, index: Json, block: Object) -> None:
        key = self._key(index, new=True)
        if key in self._open_blocks:
            self._stop(key)
        if block.get("type") == "text":
            opened = self._text(block)
        else:
            self._leave()
            opened = begin(self._item, block)
        self._open_blocks[key] = opened
        opened.start(self._emit)

    def _text(self, block: Object) -> Opened:
        """A text joins the message before it, unless another is still being said there."""
        spoken = self._spoken
        if spoken is None or spoken.busy:
            self._leave()
            spoken = self._spoken = Spoken(self._item("message"))
        return spoken.block(block)

    def _leave(self) -> None:
        """What comes next belongs to no message so far."""
        spoken, self._spoken = self._spoken, None
        if spoken is not None:
            spoken.left(self._emit)

    def _item(self, kind: t.ItemKind, **fields: object) -> int:
        """Open an item. The reply's first brings what was said of the reply before."""
        item = next(self._items)
        reply = {} if self._begun else {**self._told, **given({"usage": dict(self._usage)})}
        self._begun = True
        details = given({"reply": reply, "block": fields.pop("block", None)})
        if "call_id" in fields:
            fields["call_id"] = words(fields["call_id"])
        known = cast("dict[str, Any]", fields)
        self._emit(t.ItemStarted(item, kind, details=_ours(details), **known))
        return item

    def _add(self, index: Json, delta: Object) -> None:
        key = self._key(index)
        if key not in self._open_blocks:
            implied = IMPLIED.get(words(delta.get("type")))
            if implied is None:
                return
            self._start(key, {"type": implied})
        self._open_blocks[key].add(delta, self._emit)

    def _stop(self, index: Json) -> None:
        opened = self._open_blocks.pop(self._key(index), None)
        if opened is not None:
            opened.stop(self._emit)

    def _key(self, index: Json, *, new: bool = False) -> Json:
        """A block's index; of one that has none, the last that is open."""
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
        written = _count(self._usage, "cache_creation_input_tokens")
        usage = t.Usage(
            self._model,
            input=_count(self._usage, "input_tokens") + cached + written,
            cached=cached,
            cache_write=written,
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
        """What was said of the reply that has no field."""
        told = {} if self._begun else self._told
        kept = {"reply": told, "usage": self._usage, "delta": self._delta, "beside": self._beside}
        return _ours(given(kept))


def _ours(found: Object) -> Object:
    return {DIALECT: found} if found else {}


def _read(event: SseEvent) -> tuple[Object, str]:
    """An event and its type. What says that it is an error is one, in whatever form."""
    try:
        found = any_object(_decode(event.data))
    except msgspec.MsgspecError:
        if event.event != "error":
            raise
        found = {}
    if found.get("error") or "error" in (event.event, found.get("object")):
        return found, "error"
    kind = found.get("type") or event.event
    if not isinstance(kind, str):
        raise TypeError("its type is not a string")
    return found, kind


def _said(fields: Object) -> Object:
    """Fields that are not null; counts as whole numbers."""
    found: Object = {}
    for name, value in fields.items():
        if name.endswith("tokens"):
            found[name] = _count(fields, name)
        elif value is not None:
            found[name] = value
    return found


def _count(fields: Object, name: str) -> int:
    """A count of tokens: some servers send fractions, or null."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < MOST:
        return 0
    return int(value)
