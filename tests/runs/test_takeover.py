"""Which runs continue after their worker is gone, and which are stopped: decided from the log and the
record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.runs.directory import RunRecord
from tailrace.runs.settings import RunSettings
from tailrace.runs.takeover import attempt, hindrance, is_suspect
from tests.support.house import Fake
from tests.support.logs import request

SETTINGS = RunSettings()
RECORD = RunRecord(run="r", agent="helper", surface="jobs", tenant="local")
IN_A_ROW = "The run was stopped: 3 attempts in a row were cut off before the agent got any further."
CALL = t.ItemStarted(0, "tool_call", call_id="c", name="find", runs_on="server")


async def _nothing(_: Any) -> Any:
    yield ()


def state(*steps: t.Payload) -> RunState:
    """A run after its start, an open node, and the given payloads."""
    made = RunState()
    for each in (t.RunStarted(request()), t.NodeStarted("agent", "helper")):
        made.advance(t.Draft(each, "n" if isinstance(each, t.NodeStarted) else ""), 0)
    for step in steps:
        where = "" if isinstance(step, t.RunEvent | t.InputReceived) else "n"
        made.advance(t.Draft(step, where), 0)
    return made


def taken(times: int, first: int = 2) -> list[t.Payload]:
    return [
        t.RunAttempt(first + number, "its worker was gone", keeps_replies=True)
        for number in range(times)
    ]


def verdict(made: RunState, record: RunRecord = RECORD, **settings: Any) -> str:
    following = attempt(record, made, "gone", orderly=False)
    return hindrance(record, made, Fake(_nothing), following, RunSettings(**settings))


@pytest.mark.parametrize(("times", "words"), [(0, ""), (1, ""), (2, IN_A_ROW)])
def test_three_in_a_row_are_enough(times: int, words: str) -> None:
    assert verdict(state(*taken(times))) == words


@pytest.mark.parametrize(
    "progress",
    [
        [t.Usage("m")],
        [CALL, t.ItemCompleted(0, "completed"), t.ToolStarted(0, ""), t.ToolCompleted(0, "yes")],
        [t.InputRequested("q", "?"), t.InputReceived("q", 1)],
        [t.NodeCompleted()],
        [t.RunWaiting("answers"), t.RunResumed()],
    ],
)
def test_progress_resets_the_count_of_crashes(progress: Sequence[t.Payload]) -> None:
    made = state(*taken(2), *progress)
    assert verdict(made) == ""
    assert not is_suspect(made, attempt(RECORD, made, "gone", orderly=False), SETTINGS)


def test_text_and_open_items_are_not_progress() -> None:
    said: list[t.Payload] = [t.ItemStarted(0, "message"), t.TextDelta(0, "so far")]
    closed: list[t.Payload] = [t.ItemCompleted(0, "incomplete")]
    assert verdict(state(*taken(1), *said, *taken(1, 3), *closed)) == IN_A_ROW


ITEMS: dict[t.ItemKind, tuple[t.ItemStarted, type[Any]]] = {
    "message": (t.ItemStarted(0, "message"), t.TextDelta),
    "reasoning": (t.ItemStarted(0, "reasoning"), t.ReasoningDelta),
    "tool_call": (CALL, t.ArgumentsDelta),
}


@pytest.mark.parametrize("kind", ITEMS)
def test_an_interrupted_reply_that_grows_after_each_takeover_continues(kind: t.ItemKind) -> None:
    started, delta = ITEMS[kind]
    steps: list[t.Payload] = [started, delta(0, "a")]
    for number in range(10):
        steps += taken(1, 2 + number)
        assert verdict(state(*steps)) == ""
        steps.append(delta(0, "b"))
    assert state(*steps).stalls == 0
    assert verdict(state(*steps, *taken(2, 12))) == IN_A_ROW, "no more since"


def test_an_item_behind_what_was_cut_is_growth() -> None:
    thought: list[t.Payload] = [
        t.ItemStarted(0, "reasoning"),
        t.ReasoningDelta(0, "a"),
        t.ItemCompleted(0),
    ]
    assert verdict(state(*thought, *taken(2), t.ItemStarted(1, "message"))) == ""
    anew = state(*thought, *taken(2))
    anew.advance(t.Draft(t.ReplyAbandoned(), "n"), 0)
    anew.advance(t.Draft(t.ItemStarted(1, "message"), "n"), 0)
    assert verdict(anew) == IN_A_ROW, "other words are said from the beginning"


def test_the_calls_of_a_reply_that_was_given_up_are_no_progress() -> None:
    made = state(CALL, t.ItemCompleted(0, "completed"), *taken(2))
    for draft in abandoning.replies(made):
        made.advance(draft, 0)
    assert made.items[0].output is not None
    assert verdict(made) == IN_A_ROW


def test_twenty_in_all_are_enough() -> None:
    steps: list[t.Payload] = []
    for number in range(19):
        steps += [t.RunAttempt(number + 2, "gone"), t.Usage("m")]
    assert verdict(state(*steps)) == "The run was stopped: 20 attempts were cut off."
    assert verdict(state(*steps[2:])) == ""


def test_processes_that_stop_in_order_do_not_count() -> None:
    """Each handover is in the record before its successor takes the run."""
    made, record = state(), RECORD
    for handovers in range(1, 50):
        record = RunRecord(
            run="r", agent="helper", surface="jobs", tenant="local", handovers=handovers
        )
        assert verdict(made, record) == ""
        made.advance(t.Draft(attempt(record, made, "restarted", orderly=False)), 0)
    assert (made.stalls, made.cut_offs) == (0, 0)
    assert verdict(made, record) == ""
    for _ in range(2):
        made.advance(t.Draft(attempt(record, made, "gone", orderly=False)), 0)
    assert verdict(made, record) == IN_A_ROW


def test_a_log_that_cannot_be_written_is_not_the_runs_fault() -> None:
    made = state()
    for _ in range(5):
        following = attempt(RECORD, made, "the log could not be written", orderly=True)
        assert not is_suspect(made, following, SETTINGS)
        made.advance(t.Draft(following), 0)
    assert verdict(made) == ""


def test_only_a_run_that_was_interrupted_before_is_a_suspect() -> None:
    made = state()
    assert not is_suspect(made, attempt(RECORD, made, "gone", orderly=False), SETTINGS)
    made = state(*taken(1))
    assert is_suspect(made, attempt(RECORD, made, "gone", orderly=False), SETTINGS)
