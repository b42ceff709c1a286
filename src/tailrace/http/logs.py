"""Log lines under attack: a bounded number a minute from each place in the code, and printable text only.

A client can cause a log line a thousand times a second. So each call of a logger may write `MOST` lines a
minute; the first line of the next minute says how many were left out. Text of a client can neither begin a
new line nor send a control sequence to a terminal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

MOST = 10
"""Lines of one call of a logger in `SECONDS`."""
SECONDS = 60.0
LONGEST = 2_000
"""Characters of a message, or of a line of a traceback."""
TRACEBACK_LINES = 60
"""The last lines of a traceback, which are logged."""

STACK_OF = "stack_of"
"""The attribute of a record with the lines of a stack."""


class RateLimit(logging.Filter):
    """Passes `MOST` records of each place, and tells `PlainFormatter` how many it dropped.

    A place is a line of code. Messages cannot be compared: they may have text of a client.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes."""
        key = (record.name, record.pathname, record.lineno)
        with self._lock:
            place = self._places.setdefault(key, _Place())
            record.__dict__["note"] = place.count(self._clock())
            return place.records <= MOST


class _Place:
    def __init__(self) -> None:
        self.records = 0
        self._until = 0.0

    def count(self, now: float) -> str:
        """Count a record; returns the note after its message."""
        left_out = 0
        if now >= self._until:
            left_out = max(self.records - MOST, 0)
            self.records, self._until = 0, now + SECONDS
        self.records += 1
        if left_out:
            return f" ({left_out} more like this were left out)"
        if self.records == MOST:
            return f" (more like this are left out for {self._until - now:.0f} s)"
        return ""


class PlainFormatter(logging.Formatter):
    """One line for a message, and an indented one for each of a traceback's last."""

    def format(self, record: logging.LogRecord) -> str:
        message = plain(record.getMessage()) + str(record.__dict__.get("note", ""))
        lines = [f"{self.formatTime(record)} {record.levelname} {record.name}: {message}"]
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            lines += [f"  {plain(line)}" for line in trace[-TRACEBACK_LINES:]]
        lines += [f"  {plain(line)}" for line in record.__dict__.get(STACK_OF, ())]
        return "\n".join(lines)


def plain(text: str) -> str:
    """Text as one line: unprintable characters are escaped, `LONGEST` characters are kept."""
    text = text[:LONGEST]
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def to_stderr() -> None:
    """Log to stderr, with the rate limit; handlers that were configured before get the rate limit."""
    root = logging.getLogger()
    logging.getLogger("tailrace.mcp").setLevel(logging.INFO)  # the stderr of tool servers
    if not root.handlers:
        to_terminal = logging.StreamHandler()
        to_terminal.setFormatter(PlainFormatter())
        root.addHandler(to_terminal)
    for handler in root.handlers:
        handler.addFilter(RateLimit())
