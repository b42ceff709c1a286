"""The loop of encoders for which a turn of a run is one reply: Chat Completions, Messages.

A run that waits for a person ends the reply of its turn with the open questions, and `run.resumed` begins the
next turn, with a reply of its own.
"""

from __future__ import annotations

from typing import ClassVar

from tailrace.events import types as t
from tailrace.protocols.encoder import Encoder, Table
from tailrace.protocols.questions import OpenQuestions


class TurnEncoder(Encoder):
    """Shows turn number `turn` of a run, from 0 on; with None the whole run, through all pauses."""

    def __init__(self, run: str, turn: int | None) -> None:
        super().__init__(run)
        self._questions = OpenQuestions(run)
        self._shown_turn = turn
        self._turn = 0

    @property
    def is_on_turn(self) -> bool:
        """Whether the events so far have reached the turn that is shown."""
        return self._shown_turn in (None, self._turn)

    def _end_turn(self, event: t.Event) -> None:
        """End the reply with the open questions."""
        raise NotImplementedError

    def _begin_turn(self, event: t.Event, payload: t.RunResumed) -> None:
        """Begin the reply of the next turn, without what the one before contained."""
        raise NotImplementedError

    def _on_run_waiting(self, event: t.Event, payload: t.RunWaiting) -> None:
        if self._shown_turn == self._turn:
            self.done = True
            self._end_turn(event)

    def _on_run_resumed(self, event: t.Event, payload: t.RunResumed) -> None:
        if self._shown_turn is not None:
            self._turn += 1
            self._begin_turn(event, payload)

    def _on_approval_requested(self, event: t.Event, payload: t.ApprovalRequested) -> None:
        self._questions.request_approval(payload)

    def _on_approval_resolved(self, event: t.Event, payload: t.ApprovalResolved) -> None:
        self._questions.resolve(payload.item)

    def _on_input_requested(self, event: t.Event, payload: t.InputRequested) -> None:
        self._questions.request_input(payload)

    def _on_input_received(self, event: t.Event, payload: t.InputReceived) -> None:
        self._questions.resolve(payload.request_id)

    TURNS: ClassVar[Table] = {
        **Encoder.NAMING,
        t.RunWaiting: _on_run_waiting,
        t.RunResumed: _on_run_resumed,
        t.ApprovalRequested: _on_approval_requested,
        t.ApprovalResolved: _on_approval_resolved,
        t.InputRequested: _on_input_requested,
        t.InputReceived: _on_input_received,
    }
    """Entries of `SHOWN` that begin and end turns, and keep the open questions."""
