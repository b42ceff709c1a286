"""Which parts of a stream are not part of the answer after a crash."""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.protocols.ag_ui import stream as ag_ui
from tailrace.protocols.cut_replies import CutReplies
from tests.support import agui
from tests.support.logs import RUN, log

ONE, OTHER = ("main", t.MAIN), ("main", "helper")


def test_a_complete_reply_replaces_the_interrupted_ones_of_its_source() -> None:
    cut = CutReplies[int]()
    cut.add(ONE, 0)
    assert cut.complete(ONE) == []
    cut.add(ONE, 1)
    cut.add(OTHER, 2)
    cut.abandon(ONE, whole_turn=False)
    cut.add(ONE, 3)
    cut.abandon(ONE, whole_turn=False)  # a second crash
    cut.add(ONE, 4)
    assert cut.left() == [1, 3]
    assert cut.complete(OTHER) == []
    assert cut.complete(ONE) == [1, 3] == cut.discarded_parts
    assert cut.left() == []


def test_a_turn_that_restarts_abandons_complete_replies_too() -> None:
    cut = CutReplies[int]()
    cut.add(ONE, 0)
    cut.complete(ONE)
    cut.add(ONE, 1)
    cut.abandon(ONE, whole_turn=True)
    assert cut.left() == [0, 1]
    cut.abandon(ONE, whole_turn=True)
    assert cut.left() == [0, 1], "once each"


def test_a_restarted_generator_does_not_change_its_last_output() -> None:
    """The generator reports no usage, so the end of the run marks its text as complete."""
    events = log(
        [
            t.ItemStarted(0, "message"),
            t.TextDelta(0, "First."),
            t.ItemCompleted(0),
            t.RunAttempt(2, "the server restarted", keeps_replies=True),
            t.ReplyAbandoned(all=True),
            t.ItemStarted(1, "message"),
            t.TextDelta(1, "Second."),
            t.ItemCompleted(1),
        ],
        end=t.RunCompleted(),
    )
    reader = agui.read(ag_ui.AgUiEncoder(RUN, ag_ui.AgUiStreamOptions()).encode(events))
    assert reader.text == "Second."
