"""What a turn's input repeats of its conversation is not told twice."""

from __future__ import annotations

import pytest

from tailrace.events.history import without_repeats
from tailrace.events.items import Item, Message, Reasoning, TextPart, ToolCall, ToolOutput


def _say(role: str, text: str) -> Message:
    return Message(role=role, content=(TextPart(text),))  # type: ignore[arg-type]


HI, ANSWER, MORE = _say("user", "Hi"), _say("assistant", "Hello you."), _say("user", "More")
RULES = _say("system", "Be kind.")
CALL = ToolCall(call_id="c", name="f", arguments="{}")
OUTPUT = ToolOutput(call_id="c", output=(TextPart("ok"),))
TWICE = (_say("assistant", "Hello"), _say("assistant", "you."))

CASES: dict[str, tuple[tuple[Item, ...], tuple[Item, ...], tuple[Item, ...]]] = {
    # told, given, what is new
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
    told, given, new = CASES[name]
    assert without_repeats(told, given) == new
