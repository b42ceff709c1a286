"""Works on runs in this process: one task for each, its end on record, and taking over what others left.

Runs come here when they start, when an answer wakes them, and when their last worker is gone. When the
process stops, the tasks let go without an end; whoever takes such a run goes on under a new attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from tailrace.errors import Fenced, LogError, NotFound
from tailrace.events.answers import Answer, drafts
from tailrace.events.state import RunState
from tailrace.events.types import Draft, Event, RunAttempt, RunFailed
from tailrace.log.contract import Store
from tailrace.runs.accounts import Accounts
from tailrace.runs.directory import Directory, RunRecord
from tailrace.runs.live import UNREAD, LiveRun
from tailrace.runs.retention import Sweeper
from tailrace.runs.running import Running
from tailrace.runs.settings import RunSettings
from tailrace.runs.summaries import Summaries
from tailrace.runs.takeover import attempt, hindrance, is_suspect
from tailrace.runs.writer import Clock, RunWriter
from tailrace.runtimes.contract import Keeper, Runtime

logger = logging.getLogger("tailrace.runs")

RETAKE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a run whose log could not be written is taken up again; the last one repeats."""


class Worker:
    """The runs that this process works on."""

    def __init__(
        self,
        store: Store,
        runtimes: Mapping[str, Runtime],
        directory: Directory,
        sweeper: Sweeper,
        summaries: Summaries,
        accounts: Accounts,
        running: Running,
        settings: RunSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runtimes = runtimes
        self._directory = directory
        self._sweeper = sweeper
        self._summaries = summaries
        self._accounts = accounts
        self._running = running
        self._settings = settings
        self._clock = clock
        self._live: dict[str, LiveRun] = {}
        self._retaking: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self._draining = False

    def __len__(self) -> int:
        """How many runs are being worked on."""
        return len(self._live)

    def live(self, run: str) -> LiveRun | None:
        """The run, if it is worked on here."""
        return self._live.get(run)

    @property
    def agents(self) -> Collection[str]:
        """The agents whose runs can be worked on here."""
        return self._runtimes.keys()

    def knows(self, agent: str) -> bool:
        """Whether an agent's runs can be worked on here."""
        return agent in self._runtimes

    async def open(self) -> None:
        """Take over every run that was left open."""
        for run in await self._store.log.open_runs():
            try:
                await self.take_over(run, "the server restarted")
            except Exception:  # one run must never keep all others from being served
                logger.exception("run %s: it cannot be taken over, and stays as it is", run)

    async def drain(self) -> None:
        """Give the live runs a while to settle, hand over the rest; leave behind those that do not let
        themselves be stopped. What could not be written is left to the process that comes next."""
        self._draining = True
        for task in self._retaking:
            task.cancel()
        await asyncio.gather(*self._retaking, return_exceptions=True)
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.shutdown_seconds)
        for live in self._live.values():
            live.hand_over()
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.cancel_seconds)
        for run in list(self._live):
            logger.error("run %s: the agent does not let itself be stopped; it is left behind", run)
            del self._live[run]

    async def close(self) -> None:
        """Nothing is left to do: `drain` was called."""

    async def offer(self, run: str, after: int) -> None:
        """Nobody else works on runs; `open` finds what this process leaves."""

    async def begin(self, record: RunRecord, writer: RunWriter) -> None:
        """Work on a run; what `writer` has been given may still be on its way to the disk."""
        self._begin(record, writer)

    async def has(self, run: str) -> bool:
        """Whether a run is in the log now: no other process could be about to write its start."""
        return bool(await self._store.log.read(run, -1))

    async def wait(self, run: str) -> None:
        """Wait until nobody works on the run any more: it ended, pauses, or was handed over."""
        live = self._live.get(run)
        if live is not None and live.task is not None:
            await asyncio.wait([live.task])

    async def cancel(self, run: str, by: str) -> bool:
        """End a run that is worked on here; False when it is not, or is about to pause. Returns when its log
        has ended; raises `LogError` when it could not be written, `Fenced` when another worker has it."""
        live = self._live.get(run)
        if live is None or live.task is None or not live.cancel(by):
            return False
        await asyncio.wait([live.task], timeout=self._settings.cancel_seconds)
        if not live.task.done():
            logger.error("run %s: the agent does not let itself be stopped; it is left behind", run)
            await live.abandon(by)
            self._live.pop(run, None)
            await self.record_end(live.record, live.writer.state)
        await live.writer.flush()
        return True

    async def answer(self, run: str, answer: Answer) -> bool:
        """Give a run what it asked for while the rest of it goes on; False when it is not worked on here, or
        is about to pause. Raises `Conflict` for what is not asked, `Fenced` when another worker has it."""
        live = self._live.get(run)
        if live is None or live.writer.state.phase != "running":
            return False
        try:
            live.answer(drafts(live.writer.state, answer))
            await live.writer.flush()
        except Fenced:
            live.cancel("another worker")  # nobody hears of it: nothing can be written
            raise
        return True

    @contextmanager
    def reading(self, run: str) -> Generator[None, None, None]:
        """Count a reader of a run. When the last one leaves, the run's grace period begins."""
        live = self._live.get(run)
        if live is None:
            yield
            return
        live.readers += 1
        if live.leaving is not None:
            live.leaving.cancel()
            live.leaving = None
        try:
            yield
        finally:
            live.readers -= 1
            self._begin_grace(live)

    async def record_end(self, record: RunRecord, state: RunState) -> None:
        """Put a run's end into its record."""
        await self._summaries.has_ended(record, state)
        with suppress(LogError):  # it goes with the log at the latest
            runtime = self._runtimes.get(record.agent)
            if runtime is None or isinstance(runtime, Keeper):
                await self._sweeper.forget_kept(record.run)

    async def take_over(self, run: str, reason: str, *, orderly: bool = False) -> None:
        """Go on with a run whose worker is gone, under a new attempt; or end it as failed."""
        state = await self._directory.state(run)
        record = await self._directory.record(run)
        if record is None:  # the process died before anybody was told of the run
            return await self._store.log.drop([run])
        live = await self._resume(record, state, reason, orderly=orderly)
        if live is not None:
            self._begin_grace(live)
        return None

    async def pick_up(
        self, record: RunRecord, state: RunState, *, again: bool = False
    ) -> LiveRun | None:
        """Work on a run that was offered: for the first time, or after a worker who is gone; `again` even
        where that one wrote nothing. None when there is nothing to be done."""
        if again or not state.fresh or not self.knows(record.agent):
            return await self._resume(record, state, "its worker was gone")
        await self._accounts.load(record.purses)
        self._running.enter_again(record.purses)
        return self._begin(record, RunWriter(self._store.log, record.run, state, self._clock))

    async def _resume(
        self, record: RunRecord, state: RunState, reason: str, *, orderly: bool = False
    ) -> LiveRun | None:
        if state.ended:
            await self.record_end(record, state)
            return None
        if state.phase == "waiting":
            await self._summaries.waits(record, state)
            return None
        writer = RunWriter(self._store.log, record.run, state, self._clock)
        following = attempt(record, state, reason, orderly=orderly)
        runtime = self._runtimes.get(record.agent)
        why = hindrance(record, state, runtime, following, self._settings)
        suspect = not why and is_suspect(state, following)
        if not suspect:
            await _take(writer, following)
        if why:
            end = RunFailed("server_error", why)
            writer.add([*state.settle(end), Draft(end)])
            await writer.flush()
            await self.record_end(record, state)
            return None
        await self._accounts.load(record.purses)
        self._running.enter_again(record.purses)
        return self._begin(record, writer, following if suspect else None)

    def _begin(
        self, record: RunRecord, writer: RunWriter, alone: RunAttempt | None = None
    ) -> LiveRun:
        """Let a run go on; `alone` is the attempt of one that may be what ends its workers."""
        runtime = self._runtimes[record.agent]
        spend = partial(self._accounts.spend, record.purses)
        turn = None if alone is None else partial(self._turn, record.run, writer, alone)
        live = LiveRun(record, runtime, writer, spend, turn)
        self._live[record.run] = live
        live.task = asyncio.create_task(self._work(live), name=f"run {record.run}")
        return live

    async def _work(self, live: LiveRun) -> None:
        run = live.record.run
        left = self._settings.longest_seconds
        left -= (self._clock() - live.writer.state.since) / 1000
        try:
            await live.work(max(left, 0.0))
        except asyncio.CancelledError:
            await self._summaries.handed_over(live.record)
            live.left = True
            return
        except Fenced:
            logger.warning("run %s: another attempt took it over", run)
            return
        except LogError as error:
            logger.error("run %s: the log cannot be written: %s", run, error)
            if not self._draining:
                self._spawn(self._retake(run))
            return
        finally:
            self._live.pop(run, None)
            self._running.leave(live.record.purses)
            if live.leaving is not None:
                live.leaving.cancel()
        if live.writer.state.ended:
            await self.record_end(live.record, live.writer.state)
        else:
            await self._summaries.waits(live.record, live.writer.state)
        live.settled = True

    async def _turn(self, run: str, writer: RunWriter, following: RunAttempt) -> None:
        """Begin an attempt when no other suspect is at the same point: of those that have not begun, none is
        cut off with it."""
        await self._alone.acquire()
        try:
            await _take(writer, following)
        finally:
            self._spawn(self._give_turn(run, writer))

    async def _give_turn(self, run: str, writer: RunWriter) -> None:
        """Let the next suspect begin once this one is no more: it got further, ended, or had its time."""
        further = asyncio.Event()

        def heard(_: Sequence[Event]) -> None:
            if writer.state.stuck == 0:
                further.set()

        stop = self._store.log.watch(run, heard)
        news = asyncio.ensure_future(further.wait())
        live = self._live.get(run)
        try:
            waited = [news] if live is None or live.task is None else [news, live.task]
            await asyncio.wait(
                waited, timeout=self._settings.alone_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()
            stop()
            self._alone.release()

    async def _retake(self, run: str) -> None:
        """Take a run up again once its log can be written."""
        waits = iter(RETAKE_SECONDS)
        wait = next(waits)
        while True:
            await asyncio.sleep(wait)
            try:
                return await self.take_over(run, "the log could not be written", orderly=True)
            except NotFound:
                return None  # not even its start was written: nobody was told of it
            except LogError:
                wait = next(waits, wait)

    def _begin_grace(self, live: LiveRun) -> None:
        if live.readers == 0 and live.record.grace is not None and live.leaving is None:
            loop = asyncio.get_running_loop()
            live.leaving = loop.call_later(live.record.grace, live.cancel, UNREAD)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._retaking.add(task)
        task.add_done_callback(self._retaking.discard)


async def _take(writer: RunWriter, following: RunAttempt) -> None:
    """Take a run over: what its last worker left open is closed."""
    writer.add([Draft(following)])
    writer.add(writer.state.give_up_reply())
    await writer.flush()
