"""A model server that goes on from the beginning of a reply, which a crash cut off (docs/adr/0017).

What was shown of the reply (`ModelRequest.begun`) goes with the request, and the server answers with what
follows. Here the reply is made whole again: the beginning, then that. So whoever asks gets a whole reply that
repeats what was shown, as from a server that says the same twice. Servers differ (litellm's and DeepSeek's
documents, 2026): most answer with the rest alone, some say the beginning again; a server that refuses such a
request is asked anew without.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.models.contract import Model, refusal

SHORTEST = 16
"""Characters of a beginning from which on its echo can be told from a text that happens to go on like it."""
REFUSED = (400, 422)
"""How servers answer that a model takes no beginning."""


class ContinuedModel:
    """`model`, whose codec sends what a reply began with."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model

    async def stream(
        self, request: ModelRequest, items: Iterator[int]
    ) -> AsyncGenerator[Sequence[t.Payload], None]:
        plain = msgspec.structs.replace(request, begun="")
        if len(request.begun) < SHORTEST or request.settings.output.kind != "text":
            begun = None  # what a grammar forces begins at its beginning
        else:
            begun = _Begun(request.begun, items)
        asked = plain if begun is None else request
        try:
            async with aclosing(self._model.stream(asked, items)) as batches:
                async for payloads in batches:
                    yield payloads if begun is None else begun.told(payloads)
            return
        except ModelFailed as failure:
            if begun is None or begun.said or failure.status not in REFUSED:
                raise
        async with aclosing(self._model.stream(plain, items)) as batches:
            async for payloads in batches:
                yield payloads

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        return refusal(self._model, request)

    async def close(self) -> None:
        await self._model.close()


class _Begun:
    """The beginning of a message and what a server says after it, as one message."""

    def __init__(self, text: str, items: Iterator[int]) -> None:
        self.said = False
        self._text = text
        self._number = next(items)
        self._theirs: int | None = None
        self._open = False
        self._heard = ""
        self._settled = False

    def told(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """What comes of the next payloads of the server."""
        made: list[t.Payload] = []
        if not self.said:
            self.said = self._open = True
            made += [t.ItemStarted(self._number, "message"), t.TextDelta(self._number, self._text)]
        for payload in payloads:
            made += self._one(payload)
        return made

    def _one(self, payload: t.Payload) -> list[t.Payload]:
        match payload:
            case t.ItemStarted(kind="message") if self._open and self._theirs is None:
                self._theirs = payload.item
                return []
            case t.ItemStarted() | t.Usage():
                return [*self._closed(), payload]
            case t.TextDelta(part=0) if payload.item == self._theirs and not self._settled:
                return self._first_words(payload)
            case t.ItemCompleted() if payload.item == self._theirs:
                words, self._open = self._rest(), False
                return [*words, msgspec.structs.replace(payload, item=self._number)]
            case _ if isinstance(payload, t.ItemEvent) and payload.item == self._theirs:
                return [*self._rest(), msgspec.structs.replace(payload, item=self._number)]
            case _:
                return [payload]

    def _first_words(self, delta: t.TextDelta) -> list[t.Payload]:
        """Held back while they may be the beginning once more, or the white space at its end, which some
        servers must be asked without."""
        self._heard += delta.text
        if self._text.startswith(self._heard):
            return []
        return self._rest()

    def _rest(self) -> list[t.Payload]:
        """What the server has said so far after the beginning."""
        if self._settled:
            return []
        self._settled = True
        space = self._text[len(self._text.rstrip()) :]
        text = self._heard
        for known in (self._text, space):
            if known and text.startswith(known):
                text = text.removeprefix(known)
                break
        return [t.TextDelta(self._number, text)] if text else []

    def _closed(self) -> list[t.Payload]:
        """The message ends with what is said besides it."""
        if not self._open or self._theirs is not None:
            return []
        self._open = False
        return [t.ItemCompleted(self._number)]
