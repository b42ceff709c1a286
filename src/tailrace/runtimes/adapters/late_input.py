"""Messages that came with a person's answer, inserted where a framework's agent receives them.

A framework that is played back knows only the input of its run and the output of its agents. A user's
messages with an answer are added where a model is called, at the same position each time: after the replies
that the agent had given, and the results of their calls.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from tailrace.events.items import Message
from tailrace.events.resumptions import input_during
from tailrace.events.state import RunState
from tailrace.events.types import MAIN

Kind = TypeVar("Kind")


class LateInput(NamedTuple):
    """Messages, and the number of replies that the agent has given since."""

    messages: tuple[Message, ...]
    replies: int


def agents_of_request(state: RunState) -> set[str]:
    """The agents that work on the request itself: the main one, and those inside it that no call started."""
    dispatched_agents = {id for ids in state.dispatches.values() for id in ids}
    agents = {MAIN}
    for entry in state.registry:
        if entry.parent in agents and entry.id not in dispatched_agents:
            agents.add(entry.id)
    return agents


def late_inputs(state: RunState, agents: Collection[str]) -> list[LateInput]:
    """The messages that came with answers, the oldest first, for the agents that work on the request."""
    inputs: list[LateInput] = []
    for each in input_during(state.resumptions, None):
        later = state.items[each.items :]
        replies = {(item.agent, item.reply) for item in later if item.agent in agents}
        messages = tuple(item for item in each.input if isinstance(item, Message))
        inputs.append(LateInput(messages, len(replies - {(agent, 0) for agent in agents})))
    return inputs


def place(begins: Sequence[int], end: int, replies: int) -> int:
    """The position in a list of `end` messages for a message that `replies` replies followed. `begins` are
    the positions of the agent's replies; a framework may have omitted the oldest of them."""
    return begins[-min(replies, len(begins))] if replies and begins else end


def insert_late(
    messages: Sequence[Kind], begins: Sequence[int], late: Sequence[tuple[int, Sequence[Kind]]]
) -> list[Kind]:
    """The messages with `late` ones inserted, each given with the number of replies that followed it."""
    result = list(messages)
    for replies, more in reversed(late):
        at = place(begins, len(messages), replies)
        result[at:at] = more
    return result
