"""What does it cost to make an event durable? `python -m benchmarks.store [seconds]`

Drives the SQLite store alone, as the writers of runs do: each run appends what has gathered since its last
append was acknowledged. Pinned to one core, under uvloop, with the server's switch interval. CPU is that of
the whole process, all threads, less the same drive against a log that acknowledges at once, so what is
left is the store's own. Latency is from an event's birth to its acknowledgement.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

import uvloop
from msgspec import Struct

from tailrace.events import types as t
from tailrace.events.items import Message, TextPart
from tailrace.events.request import RunRequest
from tailrace.events.stored import Frame, frame
from tailrace.events.types import Event
from tailrace.http.server import SWITCH_SECONDS
from tailrace.log.stores.sqlite.store import SqliteStore

FRAME_EVENTS = 256


class Case(Struct, frozen=True):
    """So many runs at so many events a second each; 0 is as fast as acknowledgements come."""

    runs: int
    rate: int


CASES = (Case(1, 0), Case(200, 30), Case(1_000, 20), Case(1_000, 50))


class Appends(Protocol):
    """The part of a log that is measured."""

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]: ...


class NoLog:
    """Acknowledges in the next turn of the loop and keeps nothing."""

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_result, None)
        return future


class Driver:
    """One run: events are born on time and appended one frame at a time."""

    def __init__(self, log: Appends, run: str, delays: list[float]) -> None:
        self.last = -1
        self._log = log
        self._run = run
        self._delays = delays
        self._waiting: list[Event] = []
        self._born: list[float] = []
        self._in_flight = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._events = 0

    def pace(self, phase: float, interval: float) -> None:
        """Make an event every `interval` seconds, the first after `phase`."""
        self._due = self._loop.time() + phase

        def tick() -> None:
            self.event()
            self._due += interval
            self._timer = self._loop.call_at(self._due, tick)

        self._timer = self._loop.call_at(self._due, tick)

    async def stop(self) -> None:
        """No more events; returns when all are acknowledged."""
        if self._timer is not None:
            self._timer.cancel()
        while self._in_flight:
            await asyncio.sleep(0.001)

    def event(self) -> None:
        """An event is born."""
        payload = t.TextDelta(0, " some words") if self._events else _start()
        self._waiting.append(Event(self._events, 1_763_690_000_123, "main", "MAIN", payload))
        self._born.append(time.perf_counter())
        self._events += 1
        if not self._in_flight:
            self._send()

    def _send(self) -> None:
        batch = frame(self._waiting[:FRAME_EVENTS])
        del self._waiting[:FRAME_EVENTS]
        self._in_flight = True
        done = self._log.append(self._run, batch, expected=self.last, attempt=1)
        asyncio.ensure_future(done).add_done_callback(
            lambda future: self._acknowledged(batch, future)
        )

    def _acknowledged(self, batch: Frame, future: asyncio.Future[None]) -> None:
        future.result()
        now = time.perf_counter()
        count = len(batch.events)
        self._delays.extend(now - born for born in self._born[:count])
        del self._born[:count]
        self.last = batch.last
        self._in_flight = False
        if self._waiting:
            self._send()


def _start() -> t.Payload:
    asked = Message(role="user", content=(TextPart("Tell me a story."),))
    return t.RunStarted(RunRequest(agent="a", model="a", surface="responses", input=(asked,)))


class Measured(Struct, frozen=True):
    """One drive."""

    events: int
    cpu: float
    wall: float
    delays: list[float]

    def micros(self) -> float:
        """CPU in microseconds per event."""
        return self.cpu / self.events * 1e6

    def delay(self, share: float) -> float:
        """A percentile of the latency, in milliseconds."""
        return sorted(self.delays)[int(len(self.delays) * share)] * 1e3


async def drive(log: Appends, case: Case, seconds: float) -> Measured:
    """Let `case` run for some seconds, after a second of warming up."""
    delays: list[float] = []
    prefix = f"{time.time_ns():x}"
    drivers = [Driver(log, f"{prefix}-{n}", delays) for n in range(case.runs)]
    feeding: asyncio.Task[None] | None = None
    if case.rate:
        for n, driver in enumerate(drivers):
            driver.pace(n / case.runs / case.rate, 1 / case.rate)
    else:
        feeding = asyncio.create_task(_feed(drivers[0]))
    await asyncio.sleep(1)
    delays.clear()
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    measured = Measured(
        len(delays), time.process_time() - cpu, time.perf_counter() - wall, delays.copy()
    )
    if feeding is not None:
        feeding.cancel()
    await asyncio.gather(*(driver.stop() for driver in drivers))
    return measured


async def _feed(driver: Driver) -> None:
    """One event per turn of the loop, as a fast agent yields them."""
    while True:
        driver.event()
        await asyncio.sleep(0)


async def replay(folder: Path, count: int) -> float:
    """Milliseconds to read a whole ended run back, decoded."""
    store = SqliteStore(folder)
    await store.open()
    run = f"replay-{time.time_ns():x}"
    deltas = [
        Event(n, 1_763_690_000_123, "main", "MAIN", t.TextDelta(0, " some words"))
        for n in range(count - 1)
    ]
    events = [*deltas, Event(count - 1, 1_763_690_000_123, "", "", t.RunCompleted())]
    for start in range(0, count, FRAME_EVENTS):
        batch = frame(events[start : start + FRAME_EVENTS])
        await store.log.append(run, batch, expected=start - 1, attempt=1)
    await store.close()
    await store.open()
    times: list[float] = []
    for _ in range(10):
        begun, after = time.perf_counter(), -1
        while found := await store.log.read(run, after):
            after = found[-1].seq
        times.append(time.perf_counter() - begun)
        assert after == count - 1
    await store.close()
    return sorted(times)[len(times) // 2] * 1e3


async def main(seconds: float) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"{'runs':>6} {'each/s':>7} {'events/s':>9} {'CPU µs':>7} {'store':>6} {'p50 ms':>7} {'p99':>6}"
        )
        for case in CASES:
            idle = await drive(NoLog(), case, seconds)
            store = SqliteStore(Path(folder))
            await store.open()
            gc.collect()
            gc.freeze()
            done = await drive(store.log, case, seconds)
            await store.close()
            print(
                f"{case.runs:>6} {case.rate or 'free':>7} {done.events / done.wall:>9.0f} "
                f"{done.micros():>7.1f} {done.micros() - idle.micros():>6.1f} "
                f"{done.delay(0.5):>7.2f} {done.delay(0.99):>6.1f}"
            )
        print(f"replay of 5,000 events: {await replay(Path(folder), 5_000):.1f} ms")


if __name__ == "__main__":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(50_000, 50, 50)
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0))
