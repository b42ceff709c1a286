"""Messages of a turn's input that repeat the conversation are left out; so is output that a crash cut off."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import types as t
from tailrace.events.history import lasting, without_repeats
from tailrace.events.items import Item, Message, Reasoning, TextPart, ToolCall, ToolOutput
from tailrace.events.state import fold
from tests.support import logs
from tests.support.scenarios import SCENARIOS, two_attempts


def _say(role: str, text: str) -> Message:
    return Message(role=role, content=(TextPart(text),))  # type: ignore[arg-type]


HI, ANSWER, MORE = _say("user", "Hi"), _say("assistant", "Hello you."), _say("user", "More")
RULES = _say("system", "Be kind.")
CALL = ToolCall(call_id="c", name="f", arguments="{}")
OUTPUT = ToolOutput(call_id="c", output=(TextPart("ok"),))
TWICE = (_say("assistant", "Hello"), _say("assistant", "you."))

CASES: dict[str, tuple[tuple[Item, ...], tuple[Item, ...], tuple[Item, ...]]] = {
    # in the history, sent by the client, what is new
    "only the new": ((HI, ANSWER), (MORE,), (MORE,)),
    "everything again": ((HI, ANSWER), (HI, ANSWER, MORE), (MORE,)),
    "the end again": ((HI, ANSWER, MORE, ANSWER), (MORE, ANSWER, HI), (HI,)),
    "two messages shown as one": (
        (HI, *TWICE),
        (HI, _say("assistant", "Hello\n\nyou."), MORE),
        (MORE,),
    ),
    "thoughts left out": ((HI, Reasoning(), ANSWER), (HI, ANSWER, MORE), (MORE,)),
    "the same rules again": ((RULES, HI, ANSWER), (RULES, HI, ANSWER, MORE), (MORE,)),
    "new rules": ((HI, ANSWER), (RULES, HI, ANSWER, MORE), (RULES, MORE)),
    "another past": ((HI, ANSWER), (MORE, ANSWER, HI), (MORE, ANSWER, HI)),
    "an answered call": ((HI, CALL), (OUTPUT,), (OUTPUT,)),
    "an answered call with its past": ((HI, ANSWER, CALL), (HI, ANSWER, CALL, OUTPUT), (OUTPUT,)),
    "a call of old": ((HI, CALL, OUTPUT, ANSWER), (HI, CALL, OUTPUT, ANSWER, MORE), (MORE,)),
    "the same question again": ((HI,), (HI,), (HI,)),
    "nothing told": ((), (HI,), (HI,)),
}


@pytest.mark.parametrize("name", CASES)
def test_only_what_is_new_is_new(name: str) -> None:
    told, sent, new = CASES[name]
    assert without_repeats(told, sent) == new


def _slowly(told: Sequence[Message], given: Sequence[Message]) -> Sequence[Message]:
    """The definition: the longest beginning of the sent messages that is also the end of the history is a
    repetition."""
    if told and told[-1].role == "assistant":
        for count in range(len(given), 0, -1):
            if count <= len(told) and given[:count] == told[-count:]:
                return given[count:]
    return given


TURNS = st.lists(st.sampled_from(["a", "b"]), max_size=8).map(
    lambda texts: [
        _say(role, text)
        for number, text in enumerate(texts)
        for role, text in (("user", text), ("assistant", str(number % 2)))
    ]
)


@given(told=TURNS, sent=TURNS)
def test_the_longest_overlap_is_left_out(told: list[Message], sent: list[Message]) -> None:
    assert list(without_repeats(told, sent)) == list(_slowly(told, sent))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ([HI, ANSWER] * 30_000, [*[HI, ANSWER] * 15_000, *[MORE, ANSWER] * 15_000]),
        ([HI, *[HI, ANSWER] * 30_000], [HI, *[_say("assistant", "x" * 300)] * 60_000]),
        (
            [*[_say("system", str(n)) for n in range(40_000)], HI, ANSWER],
            [*[_say("system", "new")] * 40_000, HI, ANSWER],
        ),
    ],
    ids=["the same again and again", "one long answer in pieces", "many rules"],
)
def test_long_conversations_take_no_longer_than_they_are(
    told: list[Message], sent: list[Message]
) -> None:
    """The client chooses both sides, and the comparison runs on the event loop."""
    assert len(without_repeats(told, sent)) <= len(sent)


def test_a_final_document_has_no_interrupted_output() -> None:
    kept = lasting(two_attempts())
    said = [event.payload.text for event in kept if isinstance(event.payload, t.TextDelta)]
    assert "".join(said) == "The answer is 4."
    assert [event for event in two_attempts() if getattr(event.payload, "item", None) != 0] == kept


def test_what_was_cut_off_is_kept_where_nothing_came_after_it() -> None:
    said: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "Once upon")]
    again: list[t.Payload] = [t.RunAttempt(2, "died"), t.ItemCompleted(0, "incomplete")]
    log = logs.log([*said, *again], end=t.RunIncomplete("max_seconds"))
    assert lasting(log) == log


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_of_a_run_that_nothing_cut_off_lasts(name: str) -> None:
    log = SCENARIOS[name]()
    abandoned = any(item.abandoned for item in fold(log).items)
    assert (lasting(log) == log) == (not abandoned)
