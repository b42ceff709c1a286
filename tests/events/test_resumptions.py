"""Turns that answer and contain other messages: which of a client's messages are new, and their places."""

from __future__ import annotations

import pytest

from tailrace.events.history import behind_agents, said_besides
from tailrace.events.items import (
    Item,
    Message,
    ProviderItem,
    Reasoning,
    TextPart,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.events.resumptions import Resumption, input_before, input_during
from tests.support.logs import request, user

ITEMS: dict[str, Item] = {
    "m": Message(role="assistant", content=(TextPart("yes?"),)),
    "r": Reasoning(summary=("hm",)),
    "c": ToolCall(call_id="c1", name="pay", arguments="{}"),
    "o": ToolOutput(call_id="c1", output=(TextPart("paid"),)),
    "Q": ProviderItem(dialect="responses", data={"type": "mcp_approval_request"}),
    "A": ProviderItem(dialect="responses", data={"type": "mcp_approval_response"}),
    "s": Message(role="system", content=(TextPart("s"),)),
}


def conversation(letters: str) -> list[Item]:
    """Items by their letters; a digit is a user message with that text."""
    return [user(letter) if letter.isdigit() else ITEMS[letter] for letter in letters]


ASKED = request(history=(user("1"), *conversation("m")), input=(user("2"),))
NEWS = {
    # the client's messages: the new ones if the client sends the complete conversation, and if it does not
    "A3": ("3", "3"),
    "3A": ("3", "3"),
    "3A4": ("34", "34"),
    "A": ("", ""),
    "o3": ("3", "3"),
    "As3": ("s3", "s3"),
    "1m2cA3": ("3", "3"),
    "1m2rcQ3A": ("3", "3"),
    "1m2cA3m": ("", ""),  # messages that an agent has answered are history
    "2A3": ("3", "23"),  # no output of an agent follows the run's input
    "2A": ("", "2"),
    "2A2": ("2", "22"),
    "3A2": ("32", "32"),
}


@pytest.mark.parametrize("sent", NEWS)
def test_which_messages_are_new(sent: str) -> None:
    given = conversation(sent)
    found = [said_besides(ASKED, given, whole=True), said_besides(ASKED, given)]
    assert (
        tuple(
            "".join(text_of(item.content) for item in items if isinstance(item, Message))
            for items in found
        )
        == NEWS[sent]
    )


def test_what_an_agent_makes_and_what_a_client_does() -> None:
    made = {letter: behind_agents(conversation(letter)) for letter in "1mrcoQAs"}
    assert made == {"1": 0, "m": 1, "r": 1, "c": 1, "o": 0, "Q": 1, "A": 0, "s": 0}
    assert behind_agents([]) == 0


def test_a_node_gets_late_messages_while_it_works_and_earlier_ones_as_input() -> None:
    first = Resumption(None, (user("1"),), 2, frozenset({"a"}))
    silent = Resumption(None, (), 3, frozenset({"a", "b"}))
    last = Resumption(None, (user("2"),), 4, frozenset({"a", "b"}))
    all = [first, silent, last]
    assert input_during(all, "a") == [first, last]
    assert input_during(all, "b") == [last]
    assert input_during(all, None) == [first, last]
    assert input_before(all, "a") == ()
    assert input_before(all, "b") == (user("1"),)
    assert input_before(all, "c") == (user("1"), user("2"))
