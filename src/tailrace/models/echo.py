"""A model that repeats the last text of the user, word by word."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Sequence

from tailrace.events.items import Message, text_of
from tailrace.events.request import ModelRequest
from tailrace.events.types import ItemCompleted, ItemStarted, Payload, TextDelta, Usage
from tailrace.models.pace import play_at_pace

WORD = re.compile(r"\s*\S+\s*")


class EchoModel:
    """Sends the last user text `repeat` times, a word every `interval_ms`. Counts words as tokens."""

    def __init__(self, name: str, *, interval_ms: float = 0, repeat: int = 1) -> None:
        self.name = name
        self._interval_ms = interval_ms
        self._repeat = repeat

    def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Payload], None]:
        return play_at_pace(self._reply(request), self._interval_ms)

    async def close(self) -> None:
        """Does nothing: no connection is open."""

    def _reply(self, request: ModelRequest) -> Iterator[Payload]:
        text = last_user_text(request)
        apart = "" if text[-1:].isspace() else " "
        count = 0
        item = 0
        yield ItemStarted(item, "message")
        for turn in range(self._repeat):
            for word in WORD.finditer(text):  # one at a time: a thousand streams need no word lists
                first_again = turn and word.start() == 0
                yield TextDelta(item, apart + word[0] if first_again else word[0])
                count += 1
        yield ItemCompleted(item)
        yield Usage(self.name, input=count // self._repeat, output=count)


def last_user_text(request: ModelRequest) -> str:
    """The text of the last user message, empty when there is none."""
    for item in reversed(request.items):
        if isinstance(item, Message) and item.role == "user":
            return text_of(item.content)
    return ""
