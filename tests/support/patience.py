"""How long tests wait: the time that an idle machine needs, multiplied by the load of this one.

A limit here exists to find code that hangs, and that is found after any wait. The suite's own load (two
processes for each core, `JOBS` of the Makefile) is the measure; with more load than that, everything takes
proportionally longer.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

MOST = 20.0
"""The factor by which every wait is longer."""
PROPERTY_SECONDS = 300.0
"""After a failure of a property, hypothesis searches for its smallest example for a while (`conftest.py`),
and then reports it."""
LOAD = Path("/proc/loadavg")


def patient(seconds: float) -> float:
    """So many seconds of an otherwise idle machine."""
    return seconds * strain(*_load(), os.cpu_count() or 1)


def strain(minute: float, now: float, cores: int) -> float:
    """How many times longer everything takes, from the load of the last minute and the load now."""
    return min(max(minute / (2 * cores), now / (2 * cores), 1.0), MOST)


def _load() -> tuple[float, float]:
    if LOAD.exists():  # Linux: also the number of threads that are runnable now
        minute, _, _, threads, _ = LOAD.read_text().split()
        return float(minute), float(threads.partition("/")[0])
    return os.getloadavg()[0], 0.0


class Hung(BaseException):
    """A property took too long. Hypothesis must not take it for the failure of one example: it would look
    for a smaller one that takes as long, and then say that the property is flaky."""


def is_property(item: pytest.Item) -> bool:
    """Whether hypothesis generates the examples of a test."""
    return hasattr(getattr(item, "obj", None), "hypothesis")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, None, None]:
    """Give a test the time that the machine needs for it."""
    own = item.get_closest_marker("timeout")
    seconds = own.args[0] if own is not None and own.args else float(item.config.getini("timeout"))
    if own is None and is_property(item):
        seconds = PROPERTY_SECONDS
    item.add_marker(pytest.mark.timeout(patient(seconds)), append=False)
    yield


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """The clock of a property; pytest-timeout has its own for the others."""
    if not is_property(item):
        return None

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"it took more than {settings.timeout:.0f} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """The end of that clock."""
    if not is_property(item):
        return None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return True
