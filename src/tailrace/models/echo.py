"""A model that repeats the last thing the user said, word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence

from tailrace.events.items import Message, text_of
from tailrace.events.request import ModelRequest
from tailrace.events.types import ItemCompleted, ItemStarted, Payload, TextDelta, Usage
from tailrace.models.pace import paced

WORD = re.compile(r"\s*\S+\s*")


class EchoModel:
    """Says the last user text `repeat` times, a word every `interval_ms`. Counts words as tokens."""

    def __init__(self, name: str, *, interval_ms: float = 0, repeat: int = 1) -> None:
        self.name = name
        self._interval_ms = interval_ms
        self._repeat = repeat

    def stream(
        self, request: ModelRequest, items: Iterator[int]
    ) -> AsyncGenerator[Sequence[Payload], None]:
        return paced(self._reply(request, items), self._interval_ms)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _reply(self, request: ModelRequest, items: Iterator[int]) -> Iterator[Payload]:
        text = last_user_text(request)
        words = WORD.findall(text)
        item = next(items)
        yield ItemStarted(item, "message")
        for round_ in range(self._repeat):
            for n, word in enumerate(words):
                again = round_ and n == 0 and not words[-1][-1:].isspace()
                yield TextDelta(item, f" {word}" if again else word)
        yield ItemCompleted(item)
        count = len(words) * self._repeat
        yield Usage(self.name, input=len(words), output=count)


def last_user_text(request: ModelRequest) -> str:
    """The text of the last user message, empty when there is none."""
    for item in reversed(request.items):
        if isinstance(item, Message) and item.role == "user":
            return text_of(item.content)
    return ""
