"""A model server that continues from the beginning of a reply that a crash interrupted (docs/adr/0017).

The text that clients received (`ModelRequest.beginning`) is sent with the request, and the server answers
with the continuation. Here the reply is made complete again: the beginning, then the continuation. So the
caller gets a complete reply that repeats the beginning, as from a server that gives the same reply twice.
Servers differ (documentation of litellm and DeepSeek, 2026): most answer with the continuation alone, some
repeat the beginning. If a server refuses such a request, it is sent again without the beginning.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import logprobs
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.models.contract import Model, refusal

SHORTEST = 16
"""The length of a beginning, in characters, above which its echo cannot be confused with a similar
continuation."""
MESSAGE = 0
"""The number of the message that continues: it is the first item of the reply."""
OTHERWISE = (401, 402, 403, 404, 408, 409, 425, 429, 502, 504)
"""Statuses that are independent of a beginning; any other may mean that the server does not accept one."""


class ContinuedModel:
    """`model`, whose codec sends the beginning of a reply."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        plain = msgspec.structs.replace(request, beginning="")
        if len(request.beginning) < SHORTEST or request.settings.output.kind != "text":
            continuation = None  # output that a grammar forces starts at its beginning
        else:
            continuation = _Continuation(request.beginning)
        first_request = plain if continuation is None else request
        try:
            async with aclosing(self._model.stream(first_request)) as batches:
                async for payloads in batches:
                    yield payloads if continuation is None else continuation.convert(payloads)
            return
        except ModelFailed as failure:
            if continuation is None or continuation.has_output or not failure.status:
                raise
            if failure.status in OTHERWISE:
                raise
        async with aclosing(self._model.stream(plain)) as batches:
            async for payloads in batches:
                yield payloads

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        return refusal(self._model, request)

    async def close(self) -> None:
        await self._model.close()


class _Continuation:
    """The beginning of a message and the server's text after it, as one message. A server that starts the
    message from the beginning does not continue it: its text is passed on unchanged."""

    def __init__(self, text: str) -> None:
        self.has_output = False
        self._text = text
        self._theirs: int | None = None
        self._open = False
        self._deltas: list[t.TextDelta] = []
        self._is_settled = False

    def convert(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """The payloads of the complete reply for the server's next payloads."""
        self.has_output = True
        return [output for payload in payloads for output in self._one(payload)]

    def _one(self, payload: t.Payload) -> list[t.Payload]:
        match payload:
            case t.ItemStarted(kind="message") if self._theirs is None and not self._is_settled:
                self._theirs = payload.item
                return []
            case t.ItemStarted() | t.Usage():
                return [*self._settle(), *self._close(), self._shift(payload)]
            case t.TextDelta(part=0) if payload.item == self._theirs and not self._is_settled:
                self._deltas.append(payload)
                return [] if self._text.startswith(self._words()) else self._settle()
            case t.ItemCompleted() if payload.item == self._theirs:
                beginning, self._open = self._settle(), False
                return [*beginning, self._shift(payload)]
            case _ if isinstance(payload, t.ItemEvent) and payload.item == self._theirs:
                return [*self._settle(), self._shift(payload)]
            case _:
                return [self._shift(payload)]

    def _shift(self, payload: t.Payload) -> t.Payload:
        """A payload with its item's number in the complete reply: that of the message, or a later one."""
        if not isinstance(payload, t.ItemEvent):
            return payload
        item = MESSAGE if payload.item == self._theirs else payload.item + 1
        return msgspec.structs.replace(payload, item=item)

    def _words(self) -> str:
        return "".join(delta.text for delta in self._deltas)

    def _settle(self) -> list[t.Payload]:
        """The message's beginning, and the server's text so far after it, once it is known whether that
        text repeats the beginning, or the white space at its end, which some servers do not accept."""
        if self._is_settled:
            return []
        self._is_settled = self._open = True
        started = t.ItemStarted(MESSAGE, "message")
        if self._begins_anew():
            return [started, *self._after(0)]
        words, space = self._words(), self._text[len(self._text.rstrip()) :]
        prefix = next((k for k in (self._text, space) if k and words.startswith(k)), "")
        return [started, t.TextDelta(MESSAGE, self._text), *self._after(len(prefix))]

    def _begins_anew(self) -> bool:
        """Whether the server repeats much of the beginning, and then continues differently."""
        words = self._words()
        pairs = enumerate(zip(words, self._text, strict=False))
        alike = next((n for n, (a, b) in pairs if a != b), len(words))
        return SHORTEST <= alike < len(self._text)

    def _after(self, length: int) -> list[t.Payload]:
        """The server's text from character `length` on, with the log probabilities of its tokens."""
        deltas: list[t.Payload] = []
        for delta in self._deltas:
            cut, length = min(length, len(delta.text)), max(length - len(delta.text), 0)
            if cut < len(delta.text):
                odds = logprobs.after(delta.logprobs, cut)
                deltas.append(t.TextDelta(MESSAGE, delta.text[cut:], 0, odds))
        return deltas

    def _close(self) -> list[t.Payload]:
        """The end of the message, if another item starts and the server has sent none for the message."""
        if not self._open or self._theirs is not None:
            return []
        self._open = False
        return [t.ItemCompleted(MESSAGE)]
