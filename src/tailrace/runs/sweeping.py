"""The schedule of sweeps: at startup and every minute, unless the clock has jumped since the last sweep.

Sweeping deletes expired data, by the clock. A clock that differs by an hour or more from the one at the
last sweep (of any process) may be wrong, as after a restored backup or with a bad time server; or the
server was stopped for a while. Then nothing is deleted until the operator confirms the clock (`tailrace
sweep`), or until it has run evenly for an hour and no process swept by another clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from tailrace.errors import LogError, Unreadable
from tailrace.events.versions import Shape
from tailrace.log.contract import Records, Store
from tailrace.runs.retention import Attendance, Sweeper
from tailrace.runs.settings import HOUR, RunSettings
from tailrace.runs.writer import Clock

logger = logging.getLogger("tailrace.runs")

BUCKET, KEY = "sweeps", "clock"
JUMP = HOUR
"""Milliseconds by which the clock may differ between two sweeps, and for which one that jumped must run
evenly."""


class SweepMark(Struct, frozen=True, omit_defaults=True):
    """The times, by the clock, of the last sweep and of the last confirmation of the clock."""

    at: int = 0
    confirmed_at: int = msgspec.field(default=0, name="confirmed")


SHAPE = Shape("sweep", SweepMark)


class Doubt:
    """Decides whether the clock can be trusted."""

    def __init__(self) -> None:
        self._since: tuple[int, int, int] | None = None

    def believes(self, mark: SweepMark | None, now: int, steady: int) -> bool:
        """`now` is the system clock, `steady` a monotonic clock; in milliseconds."""
        if mark is None or _near(now, mark.at) or _near(now, mark.confirmed_at):
            self._since = None
            return True
        if self._since is not None:
            at, began, steady_then = self._since
            if at == mark.at and _near(now - began, steady - steady_then):
                return steady - steady_then >= JUMP
        self._since = (mark.at, now, steady)
        return False


def _near(one: int, other: int) -> bool:
    return abs(one - other) < JUMP


async def confirm(records: Records, now: int) -> None:
    """Confirm the clock, for all processes. Raises `LogError`."""
    mark = await _read(records) or SweepMark()
    await _write(records, msgspec.structs.replace(mark, confirmed_at=now))


async def sweep_for_ever(
    store: Store,
    sweeper: Sweeper,
    runs: Attendance,
    settings: RunSettings,
    clock: Clock,
    steady: Callable[[], float] = time.monotonic,
) -> None:
    """Sweep periodically; `runs` handles those in progress."""
    doubt, has_warned = Doubt(), False
    while True:
        try:
            mark = await _read(store.records)
            now = clock()
            is_believed = doubt.believes(mark, now, int(steady() * 1000))
            if is_believed:
                await sweeper.sweep(runs)
                await _write(store.records, msgspec.structs.replace(mark or SweepMark(), at=now))
            elif not has_warned and mark is not None:
                logger.warning(
                    "the clock is %.1f h away from the last sweep: nothing expires for an hour, or until"
                    " `tailrace sweep` confirms the clock",
                    (now - mark.at) / HOUR,
                )
            has_warned = not is_believed
        except LogError as error:
            logger.error("the sweeper could not work: %s", error)
        except Exception:  # one invalid record must not end all sweeping
            logger.exception("the sweeper")
        await asyncio.sleep(settings.sweep_seconds)


async def _read(records: Records) -> SweepMark | None:
    """The mark, None if there is none. With an unreadable mark the clock is not trusted until it has run
    evenly, or until the operator confirms it."""
    try:
        record = await records.get(BUCKET, KEY)
        return None if record is None else SHAPE.decode(record.value)
    except Unreadable as error:
        logger.error("when the last sweep was cannot be read: %s", error)
        return SweepMark()


async def _write(records: Records, mark: SweepMark) -> None:
    await records.put(BUCKET, KEY, SHAPE.encode(mark))
