"""Starts runs, keeps them going whatever happens to connections and processes, and ends them.

Every run that is open in the log has one `LiveRun` here with a task that works on it. When the process
stops, the tasks let go without an end, and the next process takes the runs over under a new attempt;
so no run stays open with nobody working on it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Literal

import msgspec

from tailrace.errors import Conflict, Fenced, LogError, NotFound, Unavailable
from tailrace.events import ids
from tailrace.events.answers import Answer, drafts
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import (
    Draft,
    RunAttempt,
    RunCancelled,
    RunEnd,
    RunFailed,
    RunIncomplete,
    RunResumed,
    RunStarted,
)
from tailrace.log.contract import Store
from tailrace.runs.accounts import Accounts
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory, RunRecord
from tailrace.runs.live import UNREAD, LiveRun
from tailrace.runs.owner import Owner
from tailrace.runs.retention import Sweeper
from tailrace.runs.settings import RunSettings
from tailrace.runs.submission import Submission, Submissions
from tailrace.runs.summaries import Summaries
from tailrace.runs.takeover import hindrance
from tailrace.runs.writer import Clock, RunWriter
from tailrace.runtimes.contract import Keeper, Runtime

logger = logging.getLogger("tailrace.runs")

RETAKE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a run whose log could not be written is taken up again; the last one repeats."""


class Supervisor:
    """All live runs of this process."""

    def __init__(
        self,
        store: Store,
        runtimes: Mapping[str, Runtime],
        directory: Directory,
        conversations: Conversations,
        sweeper: Sweeper,
        settings: RunSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runtimes = runtimes
        self._directory = directory
        self._conversations = conversations
        self._sweeper = sweeper
        self._settings = settings
        self._clock = clock
        self._summaries = Summaries(directory, settings, clock)
        self._submissions = Submissions(store, settings, clock)
        self._accounts = Accounts(store, clock)
        self._live: dict[str, LiveRun] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.phase: Literal["starting", "open", "draining"] = "starting"
        self._starting: dict[str, asyncio.Future[None]] = {}
        self._waking = asyncio.Lock()

    async def open(self) -> None:
        """Open the store, take over every run that was left open, begin to sweep and to accept."""
        await self._store.open()
        for run in await self._store.log.open_runs():
            try:
                await self._take_over(run, "the server restarted")
            except Exception:  # one run must never keep all others from being served
                logger.exception("run %s: it cannot be taken over, and stays as it is", run)
        self._spawn(self._sweep_for_ever())
        self.phase = "open"

    async def drain(self) -> None:
        """Take no new runs, give the live ones a while to settle, hand over the rest; leave behind those that
        do not let themselves be stopped."""
        self.phase = "draining"
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
        """Drain, then close the store."""
        await self.drain()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._accounts.settle()
        await self._store.close()

    def live(self) -> int:
        """How many runs are being worked on."""
        return len(self._live)

    async def start(
        self, request: RunRequest, *, owner: Owner, submission: Submission
    ) -> tuple[str, bool]:
        """Start a run, or attach to the one that an equal submission started.

        Returns the run's suffix and whether it is new. When this returns, `run.started` is durable:
        the id may be shown, and chained to. Raises `Unavailable` while shutting down, `TooMany` for who
        has too many runs or has spent too much.
        """
        if self.phase != "open":
            raise Unavailable("The server starts or shuts down; try again in a moment.")
        now = self._clock()
        run = ids.ulid(now, secrets.token_bytes(10))
        # Known by its id before the claim is durable: an equal submission that comes a moment later finds
        # the claim, and here the run that it must wait for.
        started = self._starting[run] = asyncio.get_running_loop().create_future()
        try:
            earlier = await self._earlier(submission, owner, run)
            if earlier is not None:
                return earlier, False
            await self._begin(run, now, request, owner, submission)
        finally:
            del self._starting[run]
            started.set_result(None)
        return run, True

    async def _earlier(self, submission: Submission, owner: Owner, run: str) -> str | None:
        """The run that an equal submission started and that is still there; None when `run` is the one."""
        while True:
            earlier = await self._submissions.claim(submission, owner, run)
            if earlier is None:
                return None
            if earlier in self._starting:
                await self._starting[earlier]
            record = await self._directory.record(earlier)
            # What failed is not worth attaching to when a client asks again because it failed.
            failed = submission.retry and not submission.key
            failed = failed and record is not None and record.status == "failed"
            if not failed and await self._store.log.read(earlier, -1):
                return earlier
            if await self._submissions.retake(submission, owner, run, earlier):
                return None

    async def _begin(
        self,
        run: str,
        now: int,
        request: RunRequest,
        owner: Owner,
        submission: Submission,
    ) -> None:
        """Write a run's start and let the work begin."""
        await self._accounts.enter(submission.purses)
        record = RunRecord(
            run=run,
            agent=request.agent,
            surface=request.surface,
            tenant=owner.tenant,
            user=owner.user,
            created=now,
            conversation=request.conversation,
            grace=self._grace(request, submission),
            kept=self._settings.kept if request.store else self._settings.kept_unstored,
            purses=submission.purses,
        )
        writer = RunWriter(self._store.log, run, RunState(), self._clock)
        runtime = self._runtimes[request.agent]
        writer.add([Draft(RunStarted(request, tuple(runtime.registry())))])
        recorded = self._summaries.works(record, new=True)
        # The work begins while `run.started` is on its way to the disk: what it brings meanwhile goes in
        # the next commit, and no client hears of the run before all is down.
        joined = self._join(request.conversation, owner, run)
        accepted = asyncio.gather(recorded, writer.flush(), joined)
        self._work_on(record, runtime, writer)
        await accepted

    async def _join(self, conversation: str, owner: Owner, run: str) -> None:
        if conversation:
            await self._conversations.add_run(conversation, owner, run)

    def _grace(self, request: RunRequest, submission: Submission) -> float | None:
        if submission.grace is not msgspec.UNSET:
            return submission.grace
        return None if request.background else self._settings.grace.get(request.surface)

    async def wait(self, run: str) -> None:
        """Wait until nobody works on the run any more: it ended, or was handed over."""
        live = self._live.get(run)
        if live is not None and live.task is not None:
            await asyncio.wait([live.task])

    async def cancel(self, run: str, by: str) -> None:
        """End a live or waiting run as cancelled; returns when its log has ended. Else `Conflict`."""
        live = self._live.get(run)
        taken = live is not None and live.cancel(by)
        if live is None or live.task is None or not taken:
            await self.wait(run)
            return await self._end_waiting(run, RunCancelled(by))
        await asyncio.wait([live.task], timeout=self._settings.cancel_seconds)
        if not live.task.done():
            logger.error("run %s: the agent does not let itself be stopped; it is left behind", run)
            await live.abandon(by)
            self._live.pop(run, None)
            await self._record_end(live.record, live.writer.state)
        return None

    async def answer(self, run: str, answer: Answer, request: RunRequest | None = None) -> None:
        """Give a run what it asked for; when this returns the answer is durable and the run goes on.

        `request` is the turn that brought the answer, where a surface has turns. Raises `Conflict` when
        nothing, or nothing any more, is asked by that name: of two answers the first one counts.
        """
        live = self._live.get(run)
        if live is not None and live.writer.state.phase == "running":
            live.answer(drafts(live.writer.state, answer))
            await live.writer.flush()
            return None
        await self.wait(run)  # it is on its way to its pause
        async with self._waking:  # two answers at once must not wake it twice
            if run not in self._live:
                return await self._wake(run, answer, request)
        return await self.answer(run, answer, request)

    async def _wake(self, run: str, answer: Answer, request: RunRequest | None) -> None:
        try:
            record, state = await self._waiting(run)
        except Conflict:
            raise Conflict("The run asks for nothing.", code="already_answered") from None
        resumed = [*drafts(state, answer), Draft(RunResumed(request))]
        await self._accounts.enter(record.purses)
        try:
            writer = RunWriter(self._store.log, run, state, self._clock)
            writer.add(resumed)
            await writer.flush()
            record = msgspec.structs.replace(record, status="in_progress")
            await self._summaries.works(record)
        except BaseException:
            self._accounts.leave(record.purses)
            raise
        self._work_on(record, self._runtimes[record.agent], writer)

    async def _end_waiting(self, run: str, end: RunEnd) -> None:
        async with self._waking:
            record, state = await self._waiting(run)
            writer = RunWriter(self._store.log, run, state, self._clock)
            writer.add([*state.settle(end), Draft(end)])
            await writer.flush()
            await self._record_end(record, state)

    async def _waiting(self, run: str) -> tuple[RunRecord, RunState]:
        """A run that waits. Raises `Conflict` when it does not."""
        record = await self._directory.record(run)
        state = await self._directory.state(run)
        if record is None or state.phase != "waiting" or record.agent not in self._runtimes:
            raise Conflict("The run is not in progress.", code="not_in_progress")
        return record, state

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

    def _begin_grace(self, live: LiveRun) -> None:
        if live.readers == 0 and live.record.grace is not None and live.leaving is None:
            loop = asyncio.get_running_loop()
            live.leaving = loop.call_later(live.record.grace, live.cancel, UNREAD)

    def _work_on(self, record: RunRecord, runtime: Runtime, writer: RunWriter) -> LiveRun:
        live = LiveRun(record, runtime, writer, partial(self._accounts.spend, record.purses))
        self._live[live.record.run] = live
        live.task = asyncio.create_task(self._work(live), name=f"run {live.record.run}")
        return live

    async def _work(self, live: LiveRun) -> None:
        run = live.record.run
        left = self._settings.longest_seconds
        left -= (self._clock() - live.writer.state.since) / 1000
        try:
            await live.work(max(left, 0.0))
        except asyncio.CancelledError:
            await self._summaries.handed_over(live.record)
            return
        except Fenced:
            logger.warning("run %s: another attempt took it over", run)
            return
        except LogError as error:
            logger.error("run %s: the log cannot be written: %s", run, error)
            self._spawn(self._retake(run))
            return
        finally:
            self._live.pop(run, None)
            self._accounts.leave(live.record.purses)
            if live.leaving is not None:
                live.leaving.cancel()
        if live.writer.state.ended:
            await self._record_end(live.record, live.writer.state)
        else:
            await self._summaries.waits(live.record, live.writer.state)

    async def _give_up_waiting(self, run: str) -> None:
        """Nobody answered in time."""
        with suppress(Conflict):  # it was answered meanwhile
            await self._end_waiting(run, RunIncomplete("not_answered"))

    async def _record_end(self, record: RunRecord, state: RunState) -> None:
        await self._summaries.has_ended(record, state)
        with suppress(LogError):  # it goes with the log at the latest
            runtime = self._runtimes.get(record.agent)
            if runtime is None or isinstance(runtime, Keeper):
                await self._sweeper.forget_kept(record.run)

    async def _retake(self, run: str) -> None:
        """Take a run up again once its log can be written."""
        waits = iter(RETAKE_SECONDS)
        wait = next(waits)
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._take_over(run, "the log could not be written")
            except NotFound:
                return None  # not even its start was written: nobody was told of it
            except LogError:
                wait = next(waits, wait)

    async def _take_over(self, run: str, reason: str) -> None:
        """Go on with a run whose worker is gone, under a new attempt; or end it as failed."""
        state = await self._directory.state(run)
        record = await self._directory.record(run)
        if record is None:  # the process died before anybody was told of the run
            return await self._store.log.drop([run])
        if state.ended:
            return await self._record_end(record, state)
        if state.phase == "waiting":
            return await self._summaries.waits(record, state)
        writer = RunWriter(self._store.log, run, state, self._clock)
        writer.add([Draft(RunAttempt(state.attempt + 1, reason))])
        writer.add(state.give_up_reply())
        runtime = self._runtimes.get(record.agent)
        why = hindrance(record, state, runtime, self._settings.attempts)
        if runtime is None or why:
            end = RunFailed("server_error", why)
            writer.add([*state.settle(end), Draft(end)])
            await writer.flush()
            return await self._record_end(record, state)
        await writer.flush()
        await self._accounts.enter_again(record.purses)
        self._begin_grace(self._work_on(record, runtime, writer))
        return None

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            try:
                await self._sweeper.sweep(self._give_up_waiting)
            except LogError as error:
                logger.error("the sweeper could not work: %s", error)
            except Exception:  # one record that makes no sense must not end all sweeping
                logger.exception("the sweeper")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
