"""Fencing: which append to a run a store accepts (the rule of `EventLog.append`).

A worker that was suspended (a pause of the garbage collector, a frozen machine, a cut network) does not
notice that its lease has expired and that another worker has taken over; when it resumes, it writes. A
lease cannot prevent that, because the old worker cannot check its lease and write in one step. The store
must refuse the write, by a number that grows with each owner: a *fencing token* (Kleppmann, "How to do
distributed locking", https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html). Here the
token is the run's `attempt`; a takeover begins with an event that raises it, and the store refuses lower
ones.

`expected` is the second condition, a compare-and-set on the run's last event: two workers of one attempt,
which the token does not tell apart, cannot both append at the same place.
"""

from __future__ import annotations

from tailrace.errors import Fenced
from tailrace.events.stored import Frame


class Claim:
    """The end of a run's log: its last durable event, the attempt that wrote it, and whether an append is in
    flight.

    A run has one append in flight: of two in a queue the first could fail and the second succeed, which would
    leave a gap.
    """

    __slots__ = ("attempt", "dropped", "finished", "in_flight", "last", "run")

    def __init__(self, run: str, last: int = -1, attempt: int = 0) -> None:
        self.run = run
        self.last = last
        self.attempt = attempt
        self.finished = False
        self.dropped = False
        self.in_flight = False

    def refusal(self, frame: Frame, expected: int, attempt: int) -> Fenced | None:
        """The error for an append that is not allowed, or None."""
        if self.finished or self.dropped:
            return Fenced(f"the run {self.run} has ended")
        if self.in_flight:
            return Fenced(f"another append to {self.run} is in flight")
        if self.last != expected or frame.first != expected + 1:
            return Fenced(f"the log of {self.run} is at {self.last}")
        if attempt < self.attempt:
            return Fenced(f"attempt {self.attempt} writes {self.run}")
        return None

    def land(self, last: int, attempt: int, *, finished: bool) -> None:
        """The append that was in flight is durable."""
        self.in_flight = False
        self.last = last
        self.attempt = attempt
        self.finished = finished
