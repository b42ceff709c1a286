"""The common part of the decoders of all three upstream dialects: the SSE loop, items, and the end of a
reply.

A subclass interprets one event of its dialect. The base class turns bytes into payloads, emits nothing
after the end, and reports a `ModelFailed` instead of an exception whatever the server sends. Equal in all
dialects:

- What counts as an event: `upstream_events.py` (pings, `[DONE]`, errors in any form).
- Nearly valid JSON is read (`framing/loose_json.py`), half a character waits for the other (`halves.py`).
- A call that a limit cut off is incomplete (`cut_calls.py`).
- A reply that is not a stream is read as what it is: a document, lines of JSON, an error page.
- Data that cannot be read is `Undecodable`, in our own words: no exception's text reaches a client.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from tailrace.errors import CutShort, ModelFailed, NoReply, Undecodable
from tailrace.events import types as t
from tailrace.events.items import Item, Json
from tailrace.protocols import upstream_events
from tailrace.protocols.cut_calls import CutCalls
from tailrace.protocols.fields import Object
from tailrace.protocols.framing import loose_json
from tailrace.protocols.framing.sse import SseDecoder, SseEvent
from tailrace.protocols.halves import Halves
from tailrace.protocols.operators_faults import NO_REPLY
from tailrace.protocols.secrets import scrub
from tailrace.protocols.upstream_errors import server_failure
from tailrace.protocols.upstream_events import loosely

NOTHING = "The model server said nothing."
NO_FORM = "it has not the form that its dialect gives to events"

NO_ARGUMENTS = "{}"
"""`arguments` of a call without arguments: servers write them in several ways."""

NO_EVENT = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    AttributeError,  # JSON of a type that the dialect does not have there
    KeyError,
    TypeError,
    ValueError,
)
"""Exceptions of reading bytes that are not an event of a dialect."""


class SseReplyDecoder(ABC):
    """An `UpstreamDecoder` over server-sent events."""

    dialect = ""

    def __init__(self, model: str) -> None:
        self.failure: ModelFailed | None = None
        self.done = False
        self.progress = 0
        self._items = itertools.count()
        self._model = model
        self._sse = SseDecoder()
        self._out: list[t.Payload] = []
        self._has_content = True
        self._has_done_mark = False
        self._halves: Halves | None = None
        self._strays: list[bytes] = []
        self._cut_calls = CutCalls()

    def feed(self, data: bytes) -> list[t.Payload]:
        self._out = out = list[t.Payload]()
        if self.done or self.failure is not None:
            return out
        try:
            for event in self._sse.feed(data):
                self._take(event)
                if self.done or self.failure is not None:
                    break
        except ModelFailed as failure:
            self.failure = failure
        return self._mend()

    def close(self) -> list[t.Payload]:
        self._out = out = list[t.Payload]()
        if self.done or self.failure is not None:
            return out
        try:
            self._flush()
            no_stream = b"\n\n".join(self._strays).strip() if not self.progress else b""
            if no_stream:
                self._no_stream(no_stream)
            if not self.done and self.failure is None:
                self._end_without_final_event()
                if no_stream and not out and not self.done:
                    raise upstream_events.no_stream(no_stream)
        except ModelFailed as failure:
            self.failure = failure
        return self._mend()

    @abstractmethod
    def _event(self, event: SseEvent) -> None:
        """One event of the server, whose data is a JSON object. Sets `_has_content` to false for one
        without content: a server that sends only such events has stalled."""

    def _end_without_final_event(self) -> None:
        """The server sent `[DONE]` (`_has_done_mark`), or the connection ended, before the dialect's own
        final event."""
        if self._has_done_mark and not self.progress:
            raise NoReply(NOTHING, status=502, code=NO_REPLY, retryable=True)
        excerpt = upstream_events.excerpt(b" ".join(self._strays))
        ours = "The model server's reply ended in the middle"
        message = f"{ours}; it said last: {scrub(excerpt)}" if excerpt else f"{ours}."
        public = f"{ours}." if excerpt else ""
        self.failure = CutShort(message, status=502, retryable=True, public=public)

    def _take(self, event: SseEvent) -> None:
        if event.stray:
            self._stray(event.data)
            return
        sorted_event = upstream_events.sort(event)
        if sorted_event is upstream_events.Mark.END:
            self._has_done_mark = True
            self._end_without_final_event()
        elif isinstance(sorted_event, SseEvent):
            self._object(sorted_event)

    def _raise_reported(self, error: Object) -> None:
        """Raise the failure that an object reports; a dialect may keep more of its text."""
        upstream_events.raise_reported(error)

    def _object(self, event: SseEvent) -> None:
        """An event of the dialect. An error without a type is an error in every dialect; an error with one
        is read by the dialect first, which may keep more of it."""
        is_error_event = event.event.lower() == "error"
        error = (
            upstream_events.value_object(event.data)
            if is_error_event or b'"error"' in event.data
            else {}
        )
        if error and not is_error_event and not isinstance(error.get("type"), str):
            self._raise_reported(error)
        self._has_content = True
        try:
            self._decode(event)
        except Undecodable:
            if not is_error_event:
                self._raise_reported(error)
                raise
        if self._has_content:
            self.progress += 1
        if self.failure is None and error:
            self._raise_reported(error)
        if self.failure is None and is_error_event:
            raise server_failure(upstream_events.words(error), error)

    def _decode(self, event: SseEvent) -> None:
        """Let the dialect read an event. Raises `Undecodable` with a message of ours."""
        before = len(self._out)
        try:
            self._event(event)
        except ModelFailed:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            if self._out[before:] or upstream_events.is_json(event.data):
                raise upstream_events.unreadable(NO_FORM) from None
            self._nearly_json(event)
        except NO_EVENT:
            raise upstream_events.unreadable(NO_FORM) from None

    def _nearly_json(self, event: SseEvent) -> None:
        """Read an event again with tolerant JSON. From here on halves of characters are possible."""
        self._halves = self._halves or Halves()
        try:
            data = loose_json.normal(event.data)
        except (ValueError, RecursionError):
            raise upstream_events.unreadable("it is not JSON") from None
        try:
            self._event(SseEvent(event.event, data))
        except NO_EVENT:
            raise upstream_events.unreadable(NO_FORM) from None

    def _stray(self, lines: bytes) -> None:
        """Lines that are not an event: an error written without `data:`, or a reply that is not a stream."""
        field, _, rest = lines.partition(b":")
        if field.strip().lower() == b"error":
            self._take(SseEvent("error", rest.strip()))
            return
        value = upstream_events.value_object(lines)
        upstream_events.raise_reported(value)
        if value and self.progress:
            self._object(SseEvent("", lines.strip()))
        else:
            self._strays.append(lines)

    def _flush(self) -> None:
        """The last event, if it is complete although the stream ended without its terminator."""
        for event in self._sse.close():
            try:
                self._take(event)
            except Undecodable:
                return

    def _no_stream(self, body: bytes) -> None:
        """The reply was not a stream of events: it is one document, or one per line."""
        documents = [body] if upstream_events.value_object(body) else body.splitlines()
        for document in filter(bytes.strip, documents):
            value = upstream_events.value_object(document)
            if not value:
                raise upstream_events.no_stream(body)
            upstream_events.raise_reported(value)
            self._object(SseEvent("", document.strip()))

    def _cut_off(self) -> None:  # noqa: B027 - most hold nothing back
        """The reply has failed: emit the payloads that were held back."""

    def _mend(self) -> list[t.Payload]:
        if self.failure is not None:
            self.failure = _of(self.dialect, self.failure)
            self._cut_off()
        out = self._out if self._halves is None else self._halves.mend(self._out)
        return self._cut_calls.mend(out)

    def _emit(self, payload: t.Payload) -> None:
        self._out.append(payload)

    def _open(self, kind: t.ItemKind, **fields: Any) -> int:
        """Start an item; returns its ordinal."""
        item = next(self._items)
        self._out.append(t.ItemStarted(item, kind, **fields))
        return item

    def _finish(self, item: int, *, content: Item | None = None, details: Json = None) -> None:
        """Close an item as completed."""
        self._out.append(t.ItemCompleted(item, content=content, details=details or {}))


def http_failure(status: int, body: bytes, dialect: str) -> ModelFailed:
    """The failure for an HTTP status of 300 or above from a server of `dialect`."""
    return _of(dialect, server_failure(upstream_events.message(body), loosely(body), status))


def _of(dialect: str, failure: ModelFailed) -> ModelFailed:
    """A failure with the dialect of its message, if the message is the server's."""
    theirs = failure.public and failure.status and not failure.dialect
    return failure.but(dialect=dialect) if theirs else failure
