"""Log lines under attack: so many a minute from one place in the code, and nothing but lines of text.

What a client can cause, it can cause a thousand times a second. So each place that logs may write some lines
a minute; the next minute's first says how many were left out. What a client sent and a line repeats can
neither begin a new line nor command a terminal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

MOST = 10
"""Lines of one place in `SECONDS`."""
SECONDS = 60.0
LONGEST = 2_000
"""Characters of a message, or of a line of a traceback."""
TRACED = 60
"""Lines of a traceback: the last ones."""

STACK_OF = "stack_of"
"""The attribute of a record that holds the lines of somebody's stack."""


class Bounded(logging.Filter):
    """Lets so many records of each place pass, and tells `Plain` how many it did not.

    A place is a line of code: messages may hold what a client sent, so those are never the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, record.pathname, record.lineno)
        with self._lock:
            place = self._places.setdefault(key, _Place())
            record.__dict__["note"] = place.count(self._clock())
            return place.seen <= MOST


class _Place:
    def __init__(self) -> None:
        self.seen = 0
        self._until = 0.0

    def count(self, now: float) -> str:
        """Count a record; what its line says beside the message."""
        left_out = 0
        if now >= self._until:
            left_out = max(self.seen - MOST, 0)
            self.seen, self._until = 0, now + SECONDS
        self.seen += 1
        if left_out:
            return f" ({left_out} more like this were left out)"
        if self.seen == MOST:
            return f" (more like this are left out for {self._until - now:.0f} s)"
        return ""


class Plain(logging.Formatter):
    """One line for a message, and an indented one for each of a traceback's last."""

    def format(self, record: logging.LogRecord) -> str:
        said = plain(record.getMessage()) + str(record.__dict__.get("note", ""))
        lines = [f"{self.formatTime(record)} {record.levelname} {record.name}: {said}"]
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            lines += [f"  {plain(line)}" for line in trace[-TRACED:]]
        lines += [f"  {plain(line)}" for line in record.__dict__.get(STACK_OF, ())]
        return "\n".join(lines)


def plain(text: str) -> str:
    """Text of one line: what is no printable character is escaped, what is long is cut."""
    text = text[:LONGEST]
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def to_stderr() -> None:
    """Have all loggers write to stderr, bounded; where somebody configured handlers, those are bounded."""
    root = logging.getLogger()
    logging.getLogger("tailrace.mcp").setLevel(logging.INFO)  # what tool servers say to stderr
    if not root.handlers:
        made = logging.StreamHandler()
        made.setFormatter(Plain())
        root.addHandler(made)
    for handler in root.handlers:
        handler.addFilter(Bounded())
