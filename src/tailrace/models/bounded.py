"""A model whose replies have a maximum size: a limit of events and of text, beyond which the run ends as
incomplete.

The bytes of a reply are counted where they arrive (`http.py`). This file counts the decoded payloads of any
model: an event costs more in a log than its bytes on the wire.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct

from tailrace.errors import LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.events.types import Payload
from tailrace.models.contract import Model, refusal


class ReplyBounds(Struct, frozen=True, kw_only=True):
    """Limits of one reply: the `bytes` from a server, decompressed, and the decoded `events` and
    `text_bytes`; 0 is no limit."""

    bytes: int = 67_108_864
    events: int = 250_000
    text_bytes: int = 8_388_608


class BoundedModel:
    """Another model, with limits."""

    def __init__(self, model: Model, bounds: ReplyBounds) -> None:
        self.name = model.name
        self._model = model
        self._bounds = bounds

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Payload], None]:
        """As the model's; raises `LimitReached` after the payloads within the limits."""
        events = size = 0
        async with aclosing(self._model.stream(request)) as batches:
            async for payloads in batches:
                sizes = list(map(_text_bytes, payloads))
                events += len(payloads)
                size += sum(sizes)
                if reason := self._beyond(events, size):
                    events, size = events - len(payloads), size - sum(sizes)
                    yield payloads[: self._fitting(events, size, sizes)]
                    raise LimitReached(reason)
                yield payloads

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        return refusal(self._model, request)

    async def close(self) -> None:
        await self._model.close()

    def _beyond(self, events: int, size: int) -> str:
        bounds = self._bounds
        if bounds.events and events > bounds.events:
            return "max_reply_events"
        return "max_reply_bytes" if bounds.text_bytes and size > bounds.text_bytes else ""

    def _fitting(self, events: int, size: int, sizes: Sequence[int]) -> int:
        """The number of further payloads of these sizes within the limits."""
        for count, more in enumerate(sizes):
            events, size = events + 1, size + more
            if self._beyond(events, size):
                return count
        return len(sizes)


def _text_bytes(payload: Payload) -> int:
    match payload:
        case (
            t.TextDelta()
            | t.RefusalDelta()
            | t.ReasoningDelta()
            | t.ReasoningSummaryDelta()
            | t.ArgumentsDelta()
        ):
            text = payload.text
            return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        case _:
            return 0
