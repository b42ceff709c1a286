"""The supervisor: it starts, answers, cancels and wakes runs, in this process or a cluster, and expires them.

Workers run them (`worker.py`): each run that is open in the log has one, whatever happens to processes.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Literal

import msgspec

from tailrace.errors import Conflict, Fenced, LogError, RevisionMismatch, Unavailable
from tailrace.events import ids
from tailrace.events.answers import Answer, AnswerPlace, answer_place, drafts
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Draft, RunCancelled, RunEnd, RunIncomplete, RunResumed, RunStarted
from tailrace.log.contract import Change
from tailrace.runs.accounts import Accounts, Budget
from tailrace.runs.cluster import Cluster
from tailrace.runs.concurrency import ClusterConcurrency, LocalConcurrency, Running
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import RunRecord
from tailrace.runs.executor import Executor, RunEnvironment
from tailrace.runs.membership import Membership
from tailrace.runs.owner import Owner
from tailrace.runs.retention import RunRecords, Sweeper
from tailrace.runs.submission import (
    Submission,
    SubmissionClaim,
    SubmissionKey,
    Submissions,
    submission_key,
)
from tailrace.runs.sweeping import sweep_for_ever
from tailrace.runs.worker import Worker
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.contract import Runtime

logger = logging.getLogger("tailrace.runs")

START_SECONDS = 15.0
"""Time limit for all steps before a run's first frame; otherwise the run does not start. `cluster.py` waits
so long for it."""


class Supervisor:
    """All live runs of this process."""

    def __init__(
        self,
        environment: RunEnvironment,
        conversations: Conversations,
        sweeper: Sweeper,
        cluster: Membership | None = None,
    ) -> None:
        """With `cluster` many processes share the runs of the store; without, they all belong to this one."""
        store = self._store = environment.store
        self._runtimes = environment.runtimes
        directory = self._directory = environment.directory
        self._conversations = conversations
        self._sweeper = sweeper
        settings = self._settings = environment.settings
        clock = self._clock = environment.clock
        self._run_records = RunRecords(directory, settings, clock)
        self._is_shared = cluster is not None
        self._begins: set[str] = set()
        """Runs whose start is being written."""
        self._accounts = Accounts(store, clock, is_shared=self._is_shared)
        self._running: Running = LocalConcurrency()
        if cluster is not None:
            self._running = ClusterConcurrency(store, directory, clock)
        worker = Worker(
            environment,
            sweeper,
            self._run_records,
            self._accounts,
            self._running,
            alone=not self._is_shared,
        )
        self._executor: Executor = worker
        if cluster is not None:
            begins = self._begins.__contains__
            self._executor = Cluster(environment, cluster, worker, begins)
        self._submissions = Submissions(store, settings, clock, self._executor.name)
        self._background: set[asyncio.Task[None]] = set()
        self.phase: Literal["starting", "open", "draining"] = "starting"
        self._starting: dict[str, asyncio.Future[None]] = {}
        """Submissions in progress, by the key of their record."""
        self._waking = asyncio.Lock()

    async def open(self) -> None:
        """Open the store, accept requests, take over open runs, and sweep."""
        await self._store.open()
        await self._executor.open()
        self._spawn(sweep_for_ever(self._store, self._sweeper, self, self._settings, self._clock))
        self.phase = "open"

    async def drain(self) -> None:
        """Refuse new runs, let the live ones end in time, hand over the rest, and abandon those that hang."""
        self.phase = "draining"
        await self._executor.drain()

    async def close(self) -> None:
        """Drain, then close the store."""
        await self.drain()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._executor.close()
        await self._accounts.settle()
        await self._store.close()

    @property
    def block_seconds(self) -> float:
        """The time for which a run's code may block the event loop."""
        return self._settings.block_seconds

    def live(self) -> int:
        """The number of runs that are worked on."""
        return len(self._executor)

    def runtime(self, agent: str) -> Runtime:
        """The runtime of an agent."""
        return self._runtimes[agent]

    async def start(
        self, request: RunRequest, *, owner: Owner, submission: Submission
    ) -> tuple[str, bool]:
        """Start a run, or attach to the one that an equal submission started.

        Returns the run's suffix and whether it is new. When this returns, `run.started` is durable, and so
        are the records by which it is found: the id can be sent. Raises `Unavailable` while shutting down,
        `TooMany` when a limit on runs or spending is reached, `Unprocessable` for a key that was used with
        another body.
        """
        key = await submission_key(submission, owner)
        if self.phase != "open":
            raise Unavailable("The server starts or shuts down; try again in a moment.")
        while key.repeats and key.name in self._starting:  # its run is about to be there
            await self._starting[key.name]
        started = self._starting[key.name] = asyncio.get_running_loop().create_future()
        try:
            return await self._start(request, owner, submission, key)
        finally:
            if self._starting.get(key.name) is started:
                del self._starting[key.name]
            started.set_result(None)

    async def _start(
        self, request: RunRequest, owner: Owner, submission: Submission, key: SubmissionKey
    ) -> tuple[str, bool]:
        while True:
            claim_record = await self._submissions.find(key)
            if claim_record is not None and await self._stands(claim_record, key):
                return claim_record.run, False
            now = self._clock()
            run = ids.ulid(now, secrets.token_bytes(10))
            replaced_run = "" if claim_record is None else claim_record.run
            claim = self._submissions.claim(key, run, replaced_run=replaced_run)
            start = partial(self._begin, run, now, request, owner, submission, replaced_run)
            self._begins.add(run)
            try:
                if not (self._is_shared and key.has_key):
                    await start(claim)
                elif not await self._start_claimed(claim, start, key, run):
                    continue
            finally:
                self._begins.discard(run)
            return run, True

    async def _start_claimed(
        self, claim: Change, start: Callable[[], Awaitable[None]], key: SubmissionKey, run: str
    ) -> bool:
        """Start a run after its key is claimed in a cluster; False if another process starts one."""
        try:
            await self._store.records.change(claim)
        except RevisionMismatch:
            return False
        try:
            await start()
        except Fenced:  # a process with the same submission did not wait, and has barred this run
            with suppress(LogError):  # otherwise the sweeper removes it
                await self._directory.remove(run)
            return False
        except BaseException:
            with suppress(LogError):
                await self._submissions.release(key, run)
            raise
        return True

    async def _stands(self, claim: SubmissionClaim, key: SubmissionKey) -> bool:
        """Whether the run of an equal submission still exists and can be attached to."""
        record = await self._directory.record(claim.run)
        # A failed run is not attached to: the client retries because it failed.
        failed = record is not None and record.status == "failed" and not key.has_key
        return not failed and await self._executor.has(claim.run, claim.by)

    async def _begin(
        self,
        run: str,
        now: int,
        request: RunRequest,
        owner: Owner,
        submission: Submission,
        replaced_run: str,
        *beside: Change,
    ) -> None:
        """Write the start of a run, with all records by which it is found, and let the work begin.
        `replaced_run` is a run of the same submission that never began, or no longer exists."""
        if 0 < self._settings.most_runs <= len(self._executor):
            raise Unavailable("The server works on as many runs as it can; try again in a moment.")
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._accounts.check(submission.budgets)
                await self._running.enter(run, submission.budgets)
                await self._offer(run, -1, submission.budgets)
            if self._clock() - now > START_SECONDS * 1000:
                raise TimeoutError
        except TimeoutError:
            raise Unavailable("The engine answers too slowly; try again in a moment.") from None
        record = RunRecord(
            run=run,
            agent=request.agent,
            surface=request.surface,
            tenant=owner.tenant,
            user=owner.user,
            created=now,
            conversation=request.conversation,
            grace=self._grace(request, submission),
            retention_ms=self._settings.retention_ms
            if request.store
            else self._settings.kept_unstored,
            budgets=submission.budgets,
        )
        conversation = request.conversation
        begin = partial(
            self._store.begin,
            run,
            before=[self._conversations.join(conversation, run, replaced_run)]
            if conversation
            else [],
            beside=[self._run_records.begins(record), *beside],
        )
        writer = RunWriter(self._store.log, run, RunState(), self._clock, begin)
        runtime = self._runtimes[request.agent]
        # The id, the record and the first event have the same time, so that filters by time match the run.
        writer.add([Draft(RunStarted(request, tuple(runtime.registry())))], at=now)
        # The work begins while `run.started` is being written: events of the meantime go into the next
        # commit, and no client gets the id before the first one is durable.
        await asyncio.gather(writer.flush(), self._executor.begin(record, writer))

    async def _offer(self, run: str, after: int, budgets: Sequence[Budget]) -> None:
        try:
            await self._executor.offer(run, after)
        except BaseException:
            self._running.leave(budgets)
            raise

    def _grace(self, request: RunRequest, submission: Submission) -> float | None:
        if submission.grace is not msgspec.UNSET:
            return submission.grace
        return None if request.background else self._settings.grace.get(request.surface)

    async def wait(self, run: str) -> None:
        """Wait until the run has no worker: it has ended, or was handed over."""
        await self._executor.wait(run)

    async def forget(self, record: RunRecord) -> None:
        """Delete an ended run at once (a client deleted it). Raises `LogError`."""
        await self._running.forget(record.run, record.budgets)
        await self._sweeper.forget(record)

    async def cancel(self, run: str, by: str) -> None:
        """End a live or waiting run as cancelled; returns when its log has ended. Raises `Conflict` for any
        other run."""
        while not await self._executor.cancel(run, by):
            await self._executor.wait(run)
            with suppress(Fenced):  # another process had an answer for it: it continues
                return await self._end_waiting(run, RunCancelled(by))
        return None

    async def answer(
        self,
        run: str,
        answer: Answer,
        turn: RunResumed = RunResumed(),  # noqa: B008 - frozen
        key: SubmissionKey | None = None,
        by: str = "",
    ) -> AnswerPlace:
        """Answer the questions of a run, as user `by`. When this returns, the answer is durable and the run
        continues.

        `turn` has the request and messages; messages are accepted only while the run waits. `key` is that of
        the submission. A turn that is sent again changes nothing. Raises `Conflict` for a question that is
        not open: the first answer counts; `Unprocessable` for a key that was used with another body.
        """
        if key is not None and key.has_key and await self._submissions.find(key) is None:
            with suppress(RevisionMismatch):  # it arrives twice at once
                claim = self._submissions.claim(key, run, answers=True)
                await self._store.records.change(claim)
        try:
            await self._give(run, answer, turn, by)
        except Conflict:
            before = answer_place(await self._directory.events(run), answer, turn.input)
            if before is None:
                raise
            return before
        place = answer_place(await self._directory.events(run), answer)
        if place is None:
            raise AssertionError("what is durable is in the log")
        return msgspec.structs.replace(place, is_repeated=False)

    async def find_claim(self, key: SubmissionKey) -> SubmissionClaim | None:
        """The claim of an equal submission. Raises `Unprocessable`."""
        return await self._submissions.find(key)

    async def _give(self, run: str, answer: Answer, turn: RunResumed, by: str) -> None:
        while turn.input or not await self._executor.answer(run, answer, by):
            await self._executor.wait(run)  # it is about to pause
            async with self._waking:  # two answers at once must not continue it twice
                if (await self._directory.state(run)).phase != "running":
                    with suppress(
                        Fenced
                    ):  # another process continued it: perhaps with another answer
                        return await self._wake(run, answer, turn, by)
        return None

    async def _wake(self, run: str, answer: Answer, turn: RunResumed, by: str) -> None:
        """Write an answer to a waiting run. Raises `Fenced` when another process was first."""
        try:
            record, state = await self._waiting(run)
        except Conflict:
            raise Conflict("The run asks for nothing.", code="already_answered") from None
        resume_drafts = [*drafts(state, answer, by), Draft(turn)]
        await self._accounts.check(record.budgets)
        await self._running.enter(run, record.budgets)
        await self._offer(run, state.seq, record.budgets)
        try:
            writer = RunWriter(self._store.log, run, state, self._clock)
            writer.add(resume_drafts)
            await writer.flush()
            record = msgspec.structs.replace(record, status="in_progress")
            await self._run_records.works(record)
        except BaseException:
            self._running.leave(record.budgets)
            raise
        await self._executor.begin(record, writer)

    async def _end_waiting(self, run: str, end: RunEnd) -> None:
        """End a waiting run. Raises `Fenced` when another process was first."""
        async with self._waking:
            record, state = await self._waiting(run)
            writer = RunWriter(self._store.log, run, state, self._clock)
            writer.add([*state.settle(end), Draft(end)])
            await writer.flush()
            await self._executor.record_end(record, state)

    async def _waiting(self, run: str) -> tuple[RunRecord, RunState]:
        """The writer of a waiting run. Raises `Fenced` if another process continued it, `Conflict` if it has
        ended."""
        record = await self._directory.record(run)
        state = await self._directory.state(run)
        if self._is_shared and state.phase == "running":
            raise Fenced(f"the run {run} continues")
        if record is None or state.phase != "waiting" or not self._executor.knows(record.agent):
            raise Conflict("The run is not in progress.", code="not_in_progress")
        return record, state

    def reading(self, run: str) -> AbstractContextManager[None]:
        """Count a reader of a run. When the last one leaves, the run's grace period begins."""
        return self._executor.reading(run)

    async def give_up(self, run: str) -> None:
        """End a run that has waited too long for an answer."""
        with suppress(Conflict, Fenced):  # it was answered meanwhile
            await self._end_waiting(run, RunIncomplete("not_answered"))

    async def works(self, run: str) -> bool:
        """Whether a run has a worker, or will have one. Raises `LogError` if that cannot be found out."""
        return await self._executor.works(run)

    async def take_up(self, run: str, state: RunState) -> None:
        """Give a run in progress without a worker to one. Raises `LogError`."""
        logger.warning("run %s: it is in progress and has no worker; it is taken up again", run)
        await self._executor.take_up(run, state)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
