"""Who may append what to a run: the rule of `EventLog.append` for stores that one process owns."""

from __future__ import annotations

from tailrace.errors import Fenced
from tailrace.events.stored import Frame


class Claim:
    """A run's end as its writers see it: the last durable event, who wrote it, what is on its way.

    One append at a time: two in one queue could be cut apart by a commit that fails between them.
    """

    __slots__ = ("attempt", "dropped", "ended", "in_flight", "last", "run")

    def __init__(self, run: str, last: int = -1, attempt: int = 0) -> None:
        self.run = run
        self.last = last
        self.attempt = attempt
        self.ended = False
        self.dropped = False
        self.in_flight = False

    def refusal(self, frame: Frame, expected: int, attempt: int) -> Fenced | None:
        """Why this append must not be made, or None."""
        if self.ended or self.dropped:
            return Fenced(f"the run {self.run} has ended")
        if self.in_flight:
            return Fenced(f"another append to {self.run} is in flight")
        if self.last != expected or frame.first != expected + 1:
            return Fenced(f"the log of {self.run} is at {self.last}")
        if attempt < self.attempt:
            return Fenced(f"attempt {self.attempt} writes {self.run}")
        return None

    def landed(self, last: int, attempt: int, *, ended: bool) -> None:
        """The append that was in flight is durable."""
        self.in_flight = False
        self.last = last
        self.attempt = attempt
        self.ended = ended
