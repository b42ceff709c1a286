"""Watches the event loop of a server: how late it is, who holds it, and an end to that.

The loop winds a timer up four times a second. A loop that is held does not, so the timer's signal comes, and
its handler runs inside the code that holds the loop: also inside a pattern that backtracks and `time.sleep`.
It writes down the stack; where that code belongs to a run it raises an exception there, again and again, and
the run ends as failed. Time is counted by the handler's own calls, so a process that was stopped, or a
machine that slept, is not taken for a held loop.

Code that no signal reaches (it never comes back from C) is ended by the second timer, which counts processor
time and needs no interpreter: the process ends, and its runs go on in the next one.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from types import FrameType

from tailrace.http.logs import STACK_OF
from tailrace.runs.run_task import LoopHeld, RunTask, current

logger = logging.getLogger("tailrace.loop")

BEAT_SECONDS = 0.25
TICK_SECONDS = 0.25
"""Between two signals while the loop is held."""
HELD_SECONDS = 1.0
"""From here on it counts as held."""
DEADLY_SECONDS = 60.0
"""A process whose loop is held for so long ends."""
REMEMBERED = 20
"""Beats whose lag is told of: those of the last five seconds."""
QUIET_SECONDS = 10.0
"""Between two stacks in the log."""
STACK = 20
"""Frames of it, the innermost."""
LATE_SECONDS = 2 * TICK_SECONDS
"""A first signal that comes so late comes to a process that was stopped."""
_OURS = ("tailrace.log.", "tailrace.runs.writer", "tailrace.events.")
"""Modules that must not be left in the middle."""


class Watchdog:
    """The watch over the loop that starts it."""

    def __init__(self, seconds: float) -> None:
        """A run may hold the loop for `seconds`."""
        self._seconds = seconds
        self._lags: deque[float] = deque([0.0], REMEMBERED)
        self._due = 0.0
        self._beating: asyncio.TimerHandle | None = None
        self._armed = False
        self._ticks = 0
        self._suspect: RunTask | None = None
        self._since = 0
        self._logged = -QUIET_SECONDS

    def lag(self) -> float:
        """The seconds that the loop was late at worst in the last few seconds."""
        return max(self._lags)

    def start(self) -> None:
        """Begin to watch the running loop; signals come to the main thread only."""
        self._armed = threading.current_thread() is threading.main_thread() and self._free()
        if self._armed:
            signal.signal(signal.SIGALRM, self._tick)
            if sys.__stderr__ is not None:
                faulthandler.register(signal.SIGPROF, sys.__stderr__, chain=True)
        self._due = time.monotonic()
        self._beat()

    def stop(self) -> None:
        """Watch no longer."""
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        if self._armed:
            self._armed = False
            self._wind(0.0, 0.0)
            faulthandler.unregister(signal.SIGPROF)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _free(self) -> bool:
        """Whether nobody else uses the signals, as an agent's code may."""
        mine = (signal.SIG_DFL, self._tick)
        if signal.getsignal(signal.SIGALRM) in mine and signal.getsignal(signal.SIGPROF) in mine:
            return True
        logger.warning("SIGALRM or SIGPROF is somebody else's: nothing ends a held event loop")
        return False

    def _beat(self) -> None:
        now = time.monotonic()
        lag = max(now - self._due, 0.0)
        self._lags.append(lag)
        if self._ticks:
            logger.warning("the event loop was held for %.1f s", lag)
            if sys.gettrace() is _ignore:
                sys.settrace(None)
        self._ticks = self._since = 0
        self._suspect = None
        self._due = now + BEAT_SECONDS
        self._beating = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
        if self._armed and not (
            signal.getsignal(signal.SIGALRM) == self._tick or self._free()  # which says so
        ):
            self._armed = False
        if self._armed:
            self._wind(HELD_SECONDS, DEADLY_SECONDS)

    def _wind(self, held: float, deadly: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, held, TICK_SECONDS if held else 0.0)
        signal.setitimer(signal.ITIMER_PROF, deadly)

    def _tick(self, _: int, frame: FrameType | None) -> None:
        """The loop is held, and `frame` is what runs."""
        now = time.monotonic()
        if not self._ticks and now - self._due > HELD_SECONDS + LATE_SECONDS:
            self._due = now - HELD_SECONDS  # it was stopped, and is late by no fault of its own
            return
        self._ticks += 1
        run = current()
        if run is not self._suspect:
            self._suspect, self._since = run, self._ticks - 1
        if self._ticks == 1 or (run is not None and self._since == self._ticks - 1):
            self._log(run, frame, now)
        if HELD_SECONDS + self._ticks * TICK_SECONDS >= DEADLY_SECONDS:
            self._end()
        more = self._ticks - 1 - self._since
        if run is not None and more and HELD_SECONDS + more * TICK_SECONDS >= self._seconds:
            self._interrupt(run, frame)

    def _interrupt(self, run: RunTask, frame: FrameType | None) -> None:
        again = run.interrupt(self._seconds)
        if frame is None or _within_ours(frame):
            return  # the next event that it emits ends it
        if again and sys.gettrace() is None:
            # It swallowed the exception: another one comes as soon as it does anything about this one.
            frame.f_trace = _raise
            sys.settrace(_ignore)
        raise LoopHeld

    def _log(self, run: RunTask | None, frame: FrameType | None, now: float) -> None:
        if now - self._logged < QUIET_SECONDS:
            return
        self._logged = now
        who = f"run {run.record.run}" if run is not None else "the server"
        stack = "".join(traceback.format_stack(frame, STACK)).splitlines()
        logger.error("the event loop is held by %s", who, extra={STACK_OF: stack})

    def _end(self) -> None:
        """Nothing helps. Runs that are open go on in the next process."""
        logger.critical("the event loop is held for %g s: the process ends", DEADLY_SECONDS)
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback(sys.__stderr__)
        logging.shutdown()
        os._exit(1)


def _within_ours(frame: FrameType) -> bool:
    at: FrameType | None = frame
    while at is not None:
        if str(at.f_globals.get("__name__", "")).startswith(_OURS):
            return True
        at = at.f_back
    return False


def _raise(_: FrameType, event: str, __: object) -> None:
    """A trace function, which Python drops once it has raised."""
    if event == "line":
        raise LoopHeld


def _ignore(_: FrameType, __: str, ___: object) -> None:
    """A trace function that follows nobody: without one there is no tracing at all."""
