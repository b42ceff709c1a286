"""All customers of the server: each performs one play after the other, chosen at random."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping

from tests.adversary import plays, talks
from tests.adversary.plays import Customer, Play
from tests.adversary.wire import Wire
from tests.adversary.witness import Story

MANY = 14
PATIENCE_SECONDS = 90.0
"""A play that takes so long will never end."""

PLAYS: Mapping[Play, int] = {
    plays.responses: 3,
    plays.responses_approved: 2,
    plays.previous: 2,
    plays.conversation: 3,
    plays.chat: 2,
    plays.messages: 2,
    plays.native: 3,
    plays.native_approved: 1,
    plays.native_asked: 1,
    plays.wild: 1,
    plays.cancelled: 2,
    plays.deleted: 1,
    talks.ui: 2,
    talks.ui_errand: 2,
    talks.ui_approved: 2,
    talks.agui: 2,
    talks.agui_errand: 2,
    talks.agui_approved: 2,
    talks.session: 2,
    talks.session_errand: 2,
    talks.session_asked: 2,
    talks.named_chat: 2,
}
"""With the weight of each."""


class Customers:
    """All customers; `stories` is the record of what they saw."""

    def __init__(self, wires: Mapping[str, Wire], chance: random.Random) -> None:
        self._wires = wires
        self._chance = chance
        self.stories: list[Story] = []
        self.plays: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.said = next(iter(wires.values())).said

    async def go_on(self, stop: asyncio.Event) -> None:
        """Run until `stop`, and then to the end of each current play."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(MANY):
                tasks.create_task(self._one(sorted(self._wires)[number % len(self._wires)], stop))

    async def _one(self, tenant: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            play = self._chance.choices(list(PLAYS), list(PLAYS.values()))[0]
            mark = f"mark{self._chance.getrandbits(48):012x}"
            story = Story(play.__name__, mark, tenant)
            self.stories.append(story)
            self.plays[play.__name__] += 1
            customer = Customer(self._wires[tenant], story, random.Random(mark))
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await play(customer)
                story.over = True
            except TimeoutError:
                pass  # the auditor reports it
            except Exception as error:
                self.wrong.append(f"{play.__name__} {mark} {sorted(story.runs)}: {error!r}")
