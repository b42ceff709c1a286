"""The watchdog of a server's event loop: it measures the lag, finds the code that blocks the loop, and
interrupts it.

The loop sets a timer four times a second. A blocked loop does not, so the timer's signal arrives, and its
handler runs inside the code that blocks the loop: also inside a regular expression that backtracks, and
inside `time.sleep`. It logs the stack; if that code belongs to a run it raises an exception there,
repeatedly, and the run ends as failed. Time is counted by the handler's own calls, so a process that was
stopped, or a machine that slept, is not taken for a blocked loop.

Code that no signal reaches (it never returns from C) is ended by the second timer, which counts CPU time and
needs no interpreter: the process ends, and its runs continue in the next one.
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
"""Interval of signals while the loop is blocked."""
HELD_SECONDS = 1.0
"""Time after which the loop counts as blocked."""
DEADLY_SECONDS = 60.0
"""Time after which a process whose loop is blocked ends."""
LAG_BEATS = 20
"""Beats whose lag is reported: those of the last five seconds."""
QUIET_SECONDS = 10.0
"""Interval of stacks in the log."""
STACK = 20
"""Innermost frames of a stack in the log."""
LATE_SECONDS = 2 * TICK_SECONDS
"""A first signal with a larger delay reaches a process that was stopped."""
_OURS = ("tailrace.log.", "tailrace.runs.writer", "tailrace.events.")
"""Modules whose code must not be interrupted."""


class Watchdog:
    """The watchdog of the event loop that starts it."""

    def __init__(self, seconds: float) -> None:
        """A run may block the loop for `seconds`."""
        self._seconds = seconds
        self._lags: deque[float] = deque([0.0], LAG_BEATS)
        self._due = 0.0
        self._next_beat: asyncio.TimerHandle | None = None
        self._has_timer = False
        self._ticks = 0
        self._suspect: RunTask | None = None
        self._since = 0
        self._last_log = -QUIET_SECONDS

    def lag(self) -> float:
        """The largest lag of the loop in the last five seconds, in seconds."""
        return max(self._lags)

    def start(self) -> None:
        """Start in the running loop; only the main thread receives signals."""
        self._has_timer = (
            threading.current_thread() is threading.main_thread() and self._signals_are_free()
        )
        if self._has_timer:
            signal.signal(signal.SIGALRM, self._tick)
            if sys.__stderr__ is not None:
                faulthandler.register(signal.SIGPROF, sys.__stderr__, chain=True)
        self._due = time.monotonic()
        self._beat()

    def stop(self) -> None:
        """Stop, and restore the signals."""
        if self._next_beat is not None:
            self._next_beat.cancel()
            self._next_beat = None
        if self._has_timer:
            self._has_timer = False
            self._set_timers(0.0, 0.0)
            faulthandler.unregister(signal.SIGPROF)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _signals_are_free(self) -> bool:
        """Whether no other code, for instance an agent's, uses the signals."""
        mine = (signal.SIG_DFL, self._tick)
        if signal.getsignal(signal.SIGALRM) in mine and signal.getsignal(signal.SIGPROF) in mine:
            return True
        logger.warning(
            "SIGALRM or SIGPROF has another handler: a blocked event loop is not interrupted"
        )
        return False

    def _beat(self) -> None:
        now = time.monotonic()
        lag = max(now - self._due, 0.0)
        self._lags.append(lag)
        if self._ticks:
            logger.warning("the event loop was blocked for %.1f s", lag)
            if sys.gettrace() is _ignore:
                sys.settrace(None)
        self._ticks = self._since = 0
        self._suspect = None
        self._due = now + BEAT_SECONDS
        self._next_beat = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
        if self._has_timer and not (
            signal.getsignal(signal.SIGALRM) == self._tick
            or self._signals_are_free()  # it logs a warning
        ):
            self._has_timer = False
        if self._has_timer:
            self._set_timers(HELD_SECONDS, DEADLY_SECONDS)

    def _set_timers(self, held_seconds: float, deadly_seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, held_seconds, TICK_SECONDS if held_seconds else 0.0)
        signal.setitimer(signal.ITIMER_PROF, deadly_seconds)

    def _tick(self, _: int, frame: FrameType | None) -> None:
        """The loop is blocked, and `frame` runs."""
        now = time.monotonic()
        if not self._ticks and now - self._due > HELD_SECONDS + LATE_SECONDS:
            self._due = now - HELD_SECONDS  # the process was stopped, not its loop
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
            return  # the next event that the run emits ends it
        if again and sys.gettrace() is None:
            # It caught the exception: another one is raised at its next line.
            frame.f_trace = _raise
            sys.settrace(_ignore)
        raise LoopHeld

    def _log(self, run: RunTask | None, frame: FrameType | None, now: float) -> None:
        if now - self._last_log < QUIET_SECONDS:
            return
        self._last_log = now
        who = f"run {run.record.run}" if run is not None else "the server"
        stack = "".join(traceback.format_stack(frame, STACK)).splitlines()
        logger.error("the event loop is blocked by %s", who, extra={STACK_OF: stack})

    def _end(self) -> None:
        """End the process; its open runs continue in the next one."""
        logger.critical("the event loop is blocked for %g s: the process ends", DEADLY_SECONDS)
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
    """A trace function that raises at the next line; Python then removes it."""
    if event == "line":
        raise LoopHeld


def _ignore(_: FrameType, __: str, ___: object) -> None:
    """A trace function without effect: Python calls frame trace functions only if there is a global one."""
