"""Messages that came with a person's answer, put where a framework's agent hears them.

A framework that is played back knows only what its run began with and what its agents made. What a user said
with an answer is added where a model is asked, at the same place each time: behind the replies that the agent
had given, and what its tools made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from tailrace.events.items import Message
from tailrace.events.resumptions import input_during
from tailrace.events.state import RunState
from tailrace.events.types import MAIN

Kind = TypeVar("Kind")


class Heard(NamedTuple):
    """Messages, and how many replies the agent has given since."""

    messages: tuple[Message, ...]
    replies: int


def at_the_request(state: RunState) -> set[str]:
    """The agents that work on the request itself: the main one, and those inside it that no call sent."""
    sent = {id for ids in state.dispatched.values() for id in ids}
    found = {MAIN}
    for entry in state.registry:
        if entry.parent in found and entry.id not in sent:
            found.add(entry.id)
    return found


def heard(state: RunState, agents: Collection[str]) -> list[Heard]:
    """What was said with answers, the oldest first, to the agents that work on the request."""
    found: list[Heard] = []
    for each in input_during(state.resumptions, None):
        later = state.items[each.items :]
        replies = {(item.agent, item.reply) for item in later if item.agent in agents}
        messages = tuple(item for item in each.input if isinstance(item, Message))
        found.append(Heard(messages, len(replies - {(agent, 0) for agent in agents})))
    return found


def place(begins: Sequence[int], end: int, replies: int) -> int:
    """Where in a list of `end` messages something belongs that so many replies followed. `begins` are the
    places where the agent's replies begin; a framework may have left out the oldest of them."""
    return begins[-min(replies, len(begins))] if replies and begins else end


def inserted(
    messages: Sequence[Kind], begins: Sequence[int], said: Sequence[tuple[int, Sequence[Kind]]]
) -> list[Kind]:
    """The messages with what was `said` among them: each with the number of replies since."""
    made = list(messages)
    for replies, more in reversed(said):
        at = place(begins, len(messages), replies)
        made[at:at] = more
    return made
