"""Works on runs in this process: one task for each, a record of its end, and takeovers.

A run comes here when it starts, when an answer continues it, and when its last worker is dead. When the
process stops, the tasks stop without an end; the next worker continues such a run under a new attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from tailrace.errors import Fenced, LogError, NotFound
from tailrace.events.answers import Answer, drafts
from tailrace.events.state import RunState
from tailrace.events.types import Draft, RunAttempt, RunCancelled, RunEnd, RunFailed
from tailrace.runs.accounts import Accounts
from tailrace.runs.concurrency import Running
from tailrace.runs.directory import RunRecord
from tailrace.runs.executor import RunEnvironment
from tailrace.runs.retention import RunRecords, Sweeper
from tailrace.runs.run_task import UNREAD, RunTask
from tailrace.runs.takeover import Suspects, attempt, hindrance, is_suspect, take
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.contract import KeepsCheckpoints, ReleasesRuns

logger = logging.getLogger("tailrace.runs")

RETAKE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Delays before a failed takeover is tried again; the last one repeats."""
AT_ONCE = 4
"""Number of runs that are taken over at the same time when a process starts."""
RESTART_REASON = "the server restarted"


class Worker:
    """The runs that this process works on."""

    def __init__(
        self,
        environment: RunEnvironment,
        sweeper: Sweeper,
        run_records: RunRecords,
        accounts: Accounts,
        running: Running,
        *,
        alone: bool,
    ) -> None:
        """`alone`: no other process works on the runs of this store."""
        self._alone = alone
        self._store = environment.store
        self._runtimes = environment.runtimes
        self._directory = environment.directory
        self._settings = environment.settings
        self._clock = environment.clock
        self._suspects = Suspects(self._store, self._settings)
        self._sweeper = sweeper
        self._run_records = run_records
        self._accounts = accounts
        self._running = running
        self._live: dict[str, RunTask] = {}
        self._left: dict[str, asyncio.Event] = {}
        """Runs that are to be taken over, each with an event that is set when it is done."""
        self._readers: Counter[str] = Counter()
        self._retaking: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()

    @property
    def name(self) -> str:
        """`""`: it is alone, or the cluster has the name."""
        return ""

    def __len__(self) -> int:
        """The number of runs that are worked on."""
        return len(self._live)

    def live(self, run: str) -> RunTask | None:
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
        """Start to take over every open run, in the background."""
        left = await self._store.log.open_runs()
        self._left = {run: asyncio.Event() for run in left}
        self._spawn(self._take_over_all(left))

    async def _take_over_all(self, runs: Sequence[str]) -> None:
        """A few at a time: the log of each is read into memory."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(run: str) -> None:
            async with room:
                is_taken = self._draining.is_set() or await self._try_take_over(run, RESTART_REASON)
            if not is_taken:
                self._spawn(self._retake(run, RESTART_REASON))

        await asyncio.gather(*map(one, runs))

    async def drain(self) -> None:
        """Let live runs settle for a while, hand over the rest, and abandon those that ignore their
        cancellation. Runs whose log could not be written are left for the next process."""
        self._draining.set()
        if self._retaking:  # a run that is being taken over is handed over like the others
            await asyncio.wait(self._retaking, timeout=self._settings.cancel_seconds)
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
            logger.error("run %s: the agent ignores its cancellation and is abandoned", run)
            del self._live[run]

    async def close(self) -> None:
        """Nothing is left to do: `drain` was called."""

    async def offer(self, run: str, after: int) -> None:
        """Does nothing: there is no other worker, and `open` finds the runs that this process leaves."""

    async def begin(self, record: RunRecord, writer: RunWriter) -> None:
        """Work on a run; events of `writer` may not be durable yet."""
        self._begin(record, writer)

    async def works(self, run: str) -> bool:
        """Whether it is worked on, or about to be taken over."""
        return run in self._live or run in self._left

    async def take_up(self, run: str, state: RunState) -> None:
        """Take it over soon."""
        self._left[run] = asyncio.Event()
        self._spawn(self._retake(run, "it had no worker"))

    async def has(self, run: str, by: str) -> bool:
        """Whether a run is in the log now: no other process could be about to write its start."""
        return bool(await self._store.log.read(run, -1))

    async def wait(self, run: str) -> None:
        """Wait until the run has no worker: it has ended, pauses, or was handed over."""
        if run in self._left:
            await self._left[run].wait()
        live = self._live.get(run)
        if live is not None and live.task is not None:
            await asyncio.wait([live.task])

    async def cancel(self, run: str, by: str) -> bool:
        """End a run that is worked on here; False if it is not, or is about to pause. Returns when its log
        has ended; raises `LogError` when it could not be written, `Fenced` when another worker has it."""
        takeover = self._left.get(run)
        if takeover is not None:
            with suppress(Fenced):  # it was taken over at this moment
                return await self.end(run, RunCancelled(by))
            await takeover.wait()
        live = self._live.get(run)
        if live is None or live.task is None or not live.cancel(by):
            return False
        await asyncio.wait([live.task], timeout=self._settings.cancel_seconds)
        if not live.task.done():
            logger.error("run %s: the agent ignores its cancellation and is abandoned", run)
            await live.abandon(by)
            self._live.pop(run, None)
            await self.record_end(live.record, live.writer.state)
        await live.writer.flush()
        return True

    async def answer(self, run: str, answer: Answer, by: str) -> bool:
        """Answer a question of a run of this worker as user `by`; False if the run is not here, or is about
        to pause. Raises `Conflict` for a question that is not open, `Fenced` if another worker has the
        run."""
        live = self._live.get(run)
        if live is None or live.writer.state.phase != "running":
            return False
        try:
            live.answer(drafts(live.writer.state, answer, by))
            await live.writer.flush()
        except Fenced:
            live.cancel("another worker")  # no client sees it: nothing can be written
            raise
        return True

    async def end(self, run: str, end: RunEnd) -> bool:
        """Cancel a run without a worker; False if it is not in progress. Raises `Fenced` if another worker
        has taken it, `LogError`."""
        record = await self._directory.record(run)
        state = await self._directory.state(run)
        if record is None or state.phase != "running":
            return False
        writer = RunWriter(self._store.log, run, state, self._clock)
        writer.add([*state.settle(end), Draft(end)])
        await writer.flush()
        await self.record_end(record, state)
        return True

    @contextmanager
    def reading(self, run: str) -> Generator[None, None, None]:
        """Count a reader of a run. When the last one leaves, the run's grace period begins."""
        self._readers[run] += 1
        live = self._live.get(run)
        if live is not None and live.leaving is not None:
            live.leaving.cancel()
            live.leaving = None
        try:
            yield
        finally:
            self._readers[run] -= 1
            if not self._readers[run]:
                del self._readers[run]
            live = self._live.get(run)
            if live is not None:
                self._begin_grace(live)

    async def record_end(self, record: RunRecord, state: RunState) -> None:
        """Put a run's end into its record, and a failure into the log."""
        if isinstance(state.end, RunFailed):
            logger.warning("run %s of %s failed: %s", record.run, record.agent, state.end.message)
        await self._run_records.has_ended(record, state)
        runtime = self._runtimes.get(record.agent)
        if isinstance(runtime, ReleasesRuns):
            await runtime.release(record.run)
        with suppress(LogError):  # it is deleted with the log at the latest
            if runtime is None or isinstance(runtime, KeepsCheckpoints):
                await self._sweeper.forget_kept(record.run)

    async def take_over(self, run: str, reason: str, *, orderly: bool = False) -> None:
        """Continue a run whose worker is dead under a new attempt, or end it as failed."""
        state = await self._directory.state(run)
        record = await self._directory.record(run)
        if record is None:  # the process died before any client had the run's id
            return await self._store.log.drop([run])
        live = await self._resume(record, state, reason, orderly=orderly)
        if live is not None:
            self._begin_grace(live)
        return None

    async def pick_up(
        self, record: RunRecord, state: RunState, *, again: bool = False
    ) -> RunTask | None:
        """Work on a run of a job: for the first time, or after a dead worker; `again` even if that one
        wrote nothing. None if there is nothing to do."""
        if again or not state.fresh or not self.knows(record.agent):
            return await self._resume(record, state, "its worker was gone")
        await self._accounts.load(record.budgets)
        self._running.enter_again(record.budgets)
        return self._begin(record, RunWriter(self._store.log, record.run, state, self._clock))

    async def _resume(
        self, record: RunRecord, state: RunState, reason: str, *, orderly: bool = False
    ) -> RunTask | None:
        if state.is_finished:
            await self.record_end(record, state)
            return None
        if state.phase == "waiting":
            await self._run_records.waits(record, state)
            return None
        writer = RunWriter(self._store.log, record.run, state, self._clock)
        following = attempt(record, state, reason, orderly=orderly)
        runtime = self._runtimes.get(record.agent)
        why = hindrance(record, state, runtime, following, self._settings)
        suspect = not why and is_suspect(state, following, self._settings)
        if not suspect:
            await take(writer, following)
        if why:
            end = RunFailed("server_error", why)
            writer.add([*state.settle(end), Draft(end)])
            await writer.flush()
            await self.record_end(record, state)
            return None
        await self._accounts.load(record.budgets)
        self._running.enter_again(record.budgets)
        return self._begin(record, writer, following if suspect else None)

    def _begin(
        self, record: RunRecord, writer: RunWriter, alone: RunAttempt | None = None
    ) -> RunTask:
        """Continue a run; `alone` is the attempt of one that may crash its workers."""
        runtime = self._runtimes[record.agent]
        spend = partial(self._accounts.spend, record.budgets)
        turn = None if alone is None else partial(self._suspects.turn, record.run, writer, alone)
        bounds, records = self._settings.bounds, self._store.records
        live = RunTask(record, runtime, writer, spend, bounds, records, turn)
        self._live[record.run] = live
        live.task = asyncio.create_task(self._work(live), name=f"run {record.run}")
        return live

    async def _work(self, live: RunTask) -> None:
        run = live.record.run
        left = self._settings.longest_seconds
        left -= (self._clock() - live.writer.state.since) / 1000
        try:
            await live.work(max(left, 0.0))
        except asyncio.CancelledError:
            await self._run_records.handed_over(live.record)
            live.left = True
            return
        except Fenced:
            logger.warning("run %s: another attempt took it over", run)
            return
        except LogError as error:
            logger.error("run %s: it stops here for now: %s", run, error)
            if (
                self._alone and not self._draining.is_set()
            ):  # otherwise the job is delivered again, to any process
                self._spawn(self._retake(run, "the log could not be written", orderly=True))
            return
        finally:
            self._live.pop(run, None)
            self._running.leave(live.record.budgets)
            if live.leaving is not None:
                live.leaving.cancel()
        if live.writer.state.is_finished:
            await self.record_end(live.record, live.writer.state)
        else:
            await self._run_records.waits(live.record, live.writer.state)
        live.settled = True

    async def _retake(self, run: str, reason: str, *, orderly: bool = False) -> None:
        """Take a run over, with retries without a limit."""
        waits = iter(RETAKE_SECONDS)
        wait = next(waits)
        self._left.setdefault(run, asyncio.Event())
        while not self._draining.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._draining.wait()
                return
            if await self._try_take_over(run, reason, orderly=orderly):
                return
            wait = next(waits, wait)

    async def _try_take_over(self, run: str, reason: str, *, orderly: bool = False) -> bool:
        """Try to take a run over."""
        try:
            await self.take_over(run, reason, orderly=orderly)
        except NotFound:
            pass  # not even its start was written: no client has its id
        except LogError as error:
            logger.warning("run %s: it cannot be taken over yet: %s", run, error)
            return False
        except Exception:  # one run must never prevent all others from being served
            logger.exception("run %s: it cannot be taken over yet", run)
            return False
        self._left.pop(run).set()
        return True

    def _begin_grace(self, live: RunTask) -> None:
        read = live.record.run in self._readers
        if not read and live.record.grace is not None and live.leaving is None:
            loop = asyncio.get_running_loop()
            live.leaving = loop.call_later(live.record.grace, live.cancel, UNREAD)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._retaking.add(task)
        task.add_done_callback(self._retaking.discard)
