"""A run whose workers die in the middle of a model's reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.state import RunState, fold
from tailrace.runtimes.node_lifecycle import ModelReply, ending, opening
from tests.support.logs import TS, request

Payloads: TypeAlias = list[t.Payload]


class Writing:
    """A run as its workers write it. The clock does not advance, so that two ways to one log are the same."""

    def __init__(self) -> None:
        self.state = RunState()
        self.events: list[t.Event] = []
        self.add([t.Draft(t.RunStarted(request()))])
        self.add(opening(self.state, "helper"))

    def add(self, drafts: Sequence[t.Draft]) -> None:
        """Add payloads as the writer does."""
        for draft in drafts:
            self.events.append(self.state.advance(draft, TS))

    def say(self, payloads: Payloads, upto: int | None = None) -> None:
        """A reply whose worker dies after so many payloads, which arrived one by one."""
        reply = ModelReply(self.state)
        for payload in payloads[:upto]:
            self.add(reply.convert([payload]))

    def die(self) -> None:
        """Another worker takes over. Payloads that were not in the log yet are lost."""
        attempt = t.RunAttempt(self.state.attempt + 1, "died", keeps_replies=True)
        self.add([t.Draft(attempt)])
        self.add(abandoning.leftovers(self.state))

    def end(self) -> list[t.Event]:
        """The complete log, which must be readable."""
        self.add(ending(self.state))
        read = fold(self.events)
        assert [item.content for item in read.items] == [item.content for item in self.state.items]
        assert [item.abandoned for item in read.items] == [i.abandoned for i in self.state.items]
        return self.events
