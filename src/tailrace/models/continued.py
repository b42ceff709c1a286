"""A model server that goes on from the beginning of a reply, which a crash cut off (docs/adr/0017).

What was shown of the reply (`ModelRequest.begun`) goes with the request, and the server answers with what
follows. Here the reply is made whole again: the beginning, then that. So whoever asks gets a whole reply that
repeats what was shown, as from a server that says the same twice. Servers differ (litellm's and DeepSeek's
documents, 2026): most answer with the rest alone, some say the beginning again; a server that refuses such a
request is asked anew without.
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
"""Characters of a beginning from which on its echo can be told from a text that happens to go on like it."""
MESSAGE = 0
"""The number of the message that goes on: it is the first item of the reply."""
OTHERWISE = (401, 402, 403, 404, 408, 409, 425, 429, 502, 504)
"""Failures that have nothing to do with a beginning; any other may say that a server takes none."""


class ContinuedModel:
    """`model`, whose codec sends what a reply began with."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        plain = msgspec.structs.replace(request, begun="")
        if len(request.begun) < SHORTEST or request.settings.output.kind != "text":
            begun = None  # what a grammar forces begins at its beginning
        else:
            begun = _Begun(request.begun)
        asked = plain if begun is None else request
        try:
            async with aclosing(self._model.stream(asked)) as batches:
                async for payloads in batches:
                    yield payloads if begun is None else begun.told(payloads)
            return
        except ModelFailed as failure:
            if begun is None or begun.said or not failure.status:
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


class _Begun:
    """The beginning of a message and what a server says after it, as one message. A server that begins the
    message anew is not going on: what it says is told as it is."""

    def __init__(self, text: str) -> None:
        self.said = False
        self._text = text
        self._theirs: int | None = None
        self._open = False
        self._heard: list[t.TextDelta] = []
        self._settled = False

    def told(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """What comes of the next payloads of the server."""
        self.said = True
        return [made for payload in payloads for made in self._one(payload)]

    def _one(self, payload: t.Payload) -> list[t.Payload]:
        match payload:
            case t.ItemStarted(kind="message") if self._theirs is None and not self._settled:
                self._theirs = payload.item
                return []
            case t.ItemStarted() | t.Usage():
                return [*self._settle(), *self._closed(), self._shifted(payload)]
            case t.TextDelta(part=0) if payload.item == self._theirs and not self._settled:
                self._heard.append(payload)
                return [] if self._text.startswith(self._words()) else self._settle()
            case t.ItemCompleted() if payload.item == self._theirs:
                settled, self._open = self._settle(), False
                return [*settled, self._shifted(payload)]
            case _ if isinstance(payload, t.ItemEvent) and payload.item == self._theirs:
                return [*self._settle(), self._shifted(payload)]
            case _:
                return [self._shifted(payload)]

    def _shifted(self, payload: t.Payload) -> t.Payload:
        """A payload with its item's number in the whole reply: the message's, or one behind it."""
        if not isinstance(payload, t.ItemEvent):
            return payload
        item = MESSAGE if payload.item == self._theirs else payload.item + 1
        return msgspec.structs.replace(payload, item=item)

    def _words(self) -> str:
        return "".join(delta.text for delta in self._heard)

    def _settle(self) -> list[t.Payload]:
        """The message's beginning, and what the server has said so far after it: once it is known whether
        that is the beginning once more, or the white space at its end, which some must be asked without."""
        if self._settled:
            return []
        self._settled = self._open = True
        started = t.ItemStarted(MESSAGE, "message")
        if self._begins_anew():
            return [started, *self._after(0)]
        words, space = self._words(), self._text[len(self._text.rstrip()) :]
        known = next((k for k in (self._text, space) if k and words.startswith(k)), "")
        return [started, t.TextDelta(MESSAGE, self._text), *self._after(len(known))]

    def _begins_anew(self) -> bool:
        """Whether the server repeats much of the beginning, and then says something else."""
        words = self._words()
        pairs = enumerate(zip(words, self._text, strict=False))
        alike = next((n for n, (a, b) in pairs if a != b), len(words))
        return SHORTEST <= alike < len(self._text)

    def _after(self, known: int) -> list[t.Payload]:
        """The words that were heard, from character `known` on, with what was told of their tokens."""
        made: list[t.Payload] = []
        for delta in self._heard:
            cut, known = min(known, len(delta.text)), max(known - len(delta.text), 0)
            if cut < len(delta.text):
                odds = logprobs.after(delta.logprobs, cut)
                made.append(t.TextDelta(MESSAGE, delta.text[cut:], 0, odds))
        return made

    def _closed(self) -> list[t.Payload]:
        """The message ends with what is said besides it."""
        if not self._open or self._theirs is not None:
            return []
        self._open = False
        return [t.ItemCompleted(MESSAGE)]
