"""What the decoders of all three upstream dialects share: the SSE loop, items, and the last word.

A subclass says what one server-sent event means. Here: bytes in, payloads out, nothing after the end,
and a `ModelFailed` instead of an exception whatever the server sends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from tailrace.errors import ModelFailed, Undecodable
from tailrace.events import types as t
from tailrace.events.items import Item, Json
from tailrace.protocols.framing import json_bounds
from tailrace.protocols.framing.sse import SseDecoder, SseEvent

MAX_MESSAGE = 500
"""Characters of a server's error message that are passed on."""

NO_EVENT = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    AttributeError,  # of JSON that is of another kind than the dialect says
    KeyError,
    TypeError,
    ValueError,
)
"""What reading bytes that are no event of a dialect raises."""

RETRYABLE = frozenset({408, 409, 425, 429})


class SseReplyDecoder(ABC):
    """An `UpstreamDecoder` over server-sent events."""

    def __init__(self, items: Iterator[int], model: str) -> None:
        self.failure: ModelFailed | None = None
        self.done = False
        self._items = items
        self._model = model
        self._sse = SseDecoder()
        self._out: list[t.Payload] = []

    def feed(self, data: bytes) -> list[t.Payload]:
        self._out = out = list[t.Payload]()
        if self.done or self.failure is not None:
            return out
        try:
            for event in self._sse.feed(data):
                if found := json_bounds.fault(event.data):
                    raise Undecodable(f"The model server sent an event that {found}.")
                self._event(event)
                if self.done or self.failure is not None:
                    break
        except ModelFailed as failure:
            self.failure = failure
        except NO_EVENT as error:
            self.failure = Undecodable(
                f"The model server sent what is no event of its dialect: {error}"
            )
        return out

    def close(self) -> list[t.Payload]:
        self._out = out = list[t.Payload]()
        if not self.done and self.failure is None:
            self._closed()
        return out

    @abstractmethod
    def _event(self, event: SseEvent) -> None:
        """One event of the server."""

    def _closed(self) -> None:
        """The connection ended before the reply did."""
        self.failure = ModelFailed("The model server's reply ended in the middle.")

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


def call_id(given: str | None, item: int) -> str:
    """The server's id of a call, or one made from the item's place where it sent none."""
    return given or f"call_{item}"


def error_message(body: bytes) -> str:
    """The message in an error body of any of the usual shapes, else the body's own text; bounded."""
    text = body.decode("utf-8", "replace")
    try:
        found: Json = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = text
    for _ in range(3):
        found = _inner(found)
    return (found if isinstance(found, str) else text).strip()[:MAX_MESSAGE]


def _inner(found: Json) -> Json:
    """One step into an error body: the first of a list, or what an object says of the error."""
    if isinstance(found, list):
        return next(iter(cast("list[Json]", found)), None)
    if isinstance(found, dict):
        fields = cast("dict[str, Json]", found)
        return fields.get("error") or fields.get("message") or fields.get("detail")
    return found


def http_failure(status: int, body: bytes) -> ModelFailed:
    """The meaning of an HTTP status of 400 or above."""
    code = "server_error"
    if status == 429:
        code = "rate_limit_exceeded"
    elif status in (400, 413, 422):
        code = "invalid_prompt"
    return ModelFailed(
        f"The model server answered {status}: {error_message(body)}",
        code=code,
        status=status,
        retryable=status in RETRYABLE or status >= 500,
    )


def stream_failure(message: str, code: Json = None) -> ModelFailed:
    """A failure that the server reported inside its stream."""
    limited = str(code) in ("429", "rate_limit_exceeded", "rate_limit_error", "overloaded_error")
    return ModelFailed(
        message[:MAX_MESSAGE] or "The model server reported an error.",
        code="rate_limit_exceeded" if limited else "server_error",
    )
