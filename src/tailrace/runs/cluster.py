"""The executor of a cluster: runs are offered as jobs, one process works on each, and every process accepts
requests.

Only the log decides which process owns a run. A job says that a run needs a worker; a call finds the worker.
If no worker answers a call, the log is written directly, and a later worker is fenced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial

from tailrace.errors import Fenced, LogError, NotFound, Unavailable
from tailrace.events.answers import Answer
from tailrace.events.state import RunState
from tailrace.events.types import Event, RunCancelled, RunEnd, RunWaiting
from tailrace.log.work import Job, WorkQueue
from tailrace.runs import worker_rpc
from tailrace.runs.barrier import bar
from tailrace.runs.directory import RunRecord
from tailrace.runs.executor import RunEnvironment
from tailrace.runs.membership import Membership, Presence
from tailrace.runs.run_task import UNREAD, RunTask
from tailrace.runs.settings import HOUR
from tailrace.runs.sweeping import JUMP
from tailrace.runs.worker import Worker
from tailrace.runs.writer import RunWriter

logger = logging.getLogger("tailrace.runs")

ARRIVAL_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Time for which a job waits for its run to appear in the log: both are written at the same time."""
CLAIMED_SECONDS = 45.0
"""Time for a claimed run to appear in the log: more than `Supervisor.start` and `Store.begin` may take."""
LOST_SECONDS = 120.0
"""An offered run that is not in the log this long after this process first saw it never began, and its offer
is removed. No clock of another machine is used: a wrong one would remove runs that are starting."""
LOST_RUNS = 10_000
"""Maximum number of such runs that are remembered."""
PATIENCE = 10
"""Fraction of the time since a run was first seen that passes between two looks at it."""
CLOCK_SECONDS = 60.0
"""Time between two checks of the engine's clock."""
RETRY_SECONDS = 0.5
"""Delay before a failed request to the engine is repeated."""
AGAIN_SECONDS = 0.02
"""Delay before a call is repeated whose worker has just lost the run."""
CALL_SECONDS = 5.0
STRANGE_SECONDS = 60.0
"""Time for which a run waits for a worker that has its agent: during a deployment, not all workers have
it."""


class Cluster:
    """`Executor` of a cluster, as one process sees it."""

    def __init__(
        self,
        environment: RunEnvironment,
        membership: Membership,
        worker: Worker,
        begins: Callable[[str], bool],
    ) -> None:
        """`begins` says whether this process is writing the start of a run."""
        self.name = membership.name
        self._membership = membership
        self._begins = begins
        self._store = environment.store
        self._directory = environment.directory
        self._settings = environment.settings
        self._clock = environment.clock
        self._worker = worker
        self._draining = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        self._presence = Presence(membership.engine)
        self._unseen: dict[str, float] = {}
        """Offered runs that are not in the log, with the time when they were first seen."""
        self._wrong = False
        """Whether this process's clock and the engine's differ too much."""

    @property
    def _work(self) -> WorkQueue:
        return self._membership.engine()

    def __len__(self) -> int:
        return len(self._worker)

    async def open(self) -> None:
        await self._membership.join(self._begins)
        await self._look_at_clock()
        self._keep(asyncio.create_task(self._watch_clock(), name="the engine's clock"))
        if self._membership.works:
            for agent in self._worker.agents:
                await self._work.answer(_knowing(agent), _yes)
            self._taking = asyncio.create_task(self._take_for_ever())

    async def drain(self) -> None:
        self._draining.set()
        if self._taking is not None:
            await asyncio.wait([self._taking])
        await self._worker.drain()
        if self._tasks:  # jobs are returned, so that no run waits for the end of a lease
            await asyncio.wait(self._tasks, timeout=CALL_SECONDS)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._presence.close()
        await self._worker.close()

    # accepting runs

    async def offer(self, run: str, after: int) -> None:
        if self._wrong:
            raise LogError("this process's clock is wrong: it begins no runs")
        await self._work.offer(run, after)

    async def begin(self, record: RunRecord, writer: RunWriter) -> None:
        """A job is queued, and some process takes it."""

    def knows(self, agent: str) -> bool:
        """True: another process may have it, without a call to find out."""
        return True

    async def has(self, run: str, by: str) -> bool:
        """Return when the claimed run is there: its process may be about to write its start, and wait for a
        leader. A dead process is not waited for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLAIMED_SECONDS
        while not self._draining.is_set():
            if await self._arrival(run) is not None:
                return True
            if loop.time() > deadline or not await self._membership.begins(by, run):
                return not await self._bar(run)
        raise Unavailable("The server shuts down; try again in a moment.")

    async def _bar(self, run: str) -> bool:
        """Prevent a run from starting; False if it has started."""
        await self._work.offer(
            run
        )  # the worker that takes that job drops the barrier later (`_miss`)
        while await self._arrival(run) is None:
            with suppress(Fenced):  # its first frame arrived just now, and its record may follow
                await bar(run, self._store.log, self._directory, self._clock)
                return True
        return False

    async def works(self, run: str) -> bool:
        if self._works_on(run):
            return True
        reply = await self._work.call(run, worker_rpc.encode(worker_rpc.Ask()), self._work.lease)
        return reply is not None and worker_rpc.outcome(reply)

    async def take_up(self, run: str, state: RunState) -> None:
        """Offer a run whose job was lost or is delayed: the process that takes a second job asks for the
        worker first."""
        await self._work.offer(run, state.seq - 1)

    async def wait(self, run: str) -> None:
        await self._worker.wait(run)
        news = asyncio.Event()

        def on_events(events: Sequence[Event]) -> None:
            if not events or any(isinstance(e.payload, RunEnd | RunWaiting) for e in events):
                news.set()

        stop = self._store.log.watch(run, on_events)
        try:
            while True:
                news.clear()
                try:
                    state = await self._directory.state(run)
                except NotFound:
                    return
                if state.phase != "running":
                    return
                await news.wait()
        finally:
            stop()

    async def cancel(self, run: str, by: str) -> bool:
        while True:
            with suppress(Fenced):  # another process has just taken it
                if self._worker.live(run) is not None:
                    return await self._worker.cancel(run, by)
                seconds = self._settings.cancel_seconds + CALL_SECONDS
                reply = await self._work.call(
                    run, worker_rpc.encode(worker_rpc.Cancel(by)), seconds
                )
                if reply is not None:
                    return worker_rpc.outcome(reply)
                return await self._worker.end(run, RunCancelled(by))
            await asyncio.sleep(AGAIN_SECONDS)

    async def answer(self, run: str, answer: Answer, by: str) -> bool:
        while True:
            with suppress(Fenced):  # as above
                if self._worker.live(run) is not None:
                    return await self._worker.answer(run, answer, by)
                reply = await self._work.call(
                    run, worker_rpc.encode(worker_rpc.Answers.of(answer, by)), CALL_SECONDS
                )
                return reply is not None and worker_rpc.outcome(reply)
            await asyncio.sleep(AGAIN_SECONDS)

    def reading(self, run: str) -> AbstractContextManager[None]:
        return self._presence.reading(run)

    async def record_end(self, record: RunRecord, state: RunState) -> None:
        await self._worker.record_end(record, state)

    # working on runs

    async def _take_for_ever(self) -> None:
        while not self._draining.is_set():
            full = 0 < self._settings.most_runs <= len(self._worker)
            if self._wrong or full:  # other processes may have a right clock, and room
                await self._pause(RETRY_SECONDS)
                continue
            try:
                job = await self._work.take()
            except LogError as error:
                logger.warning("no jobs: %s", error)
                await self._pause(RETRY_SECONDS)
                continue
            if job is not None:
                self._keep(asyncio.create_task(self._serve(job), name=f"job {job.run}"))

    async def _serve(self, job: Job) -> None:
        """One job, from its delivery to its end."""
        try:
            live = await self._pick_up(job)
            if live is None:
                return
            stop = await self._work.answer(job.run, partial(self._respond, job.run))
            try:
                await self._until_over(job, live)
            finally:
                await stop()
            if live.settled:
                await job.acknowledge()
            elif live.left:  # it was not fenced: the job of another worker is not ours to return
                await job.give_back()
        except Fenced:
            logger.warning("run %s: another worker has it", job.run)
        except LogError as error:  # the job is delivered again when the lease is over
            logger.error("run %s: %s", job.run, error)
        except Exception:
            logger.exception("run %s: it cannot be worked on", job.run)

    async def _pick_up(self, job: Job) -> RunTask | None:
        """The run of a job, started; None if there is nothing to do for it."""
        arrival = await self._arrival(job.run, job.after)
        if arrival is None:
            await self._miss(job)
            return None
        self._unseen.pop(job.run, None)
        if await self._is_worked_on(job.run):
            await job.give_back(
                self._work.lease
            )  # if that worker dies, the job must be delivered again
            return None
        record, state = arrival
        if state.phase == "running" and not await self._is_for_us(job, record.agent):
            await job.give_back(RETRY_SECONDS)
            return None
        live = await self._worker.pick_up(record, state, again=job.deliveries > 1)
        if live is None:
            await job.acknowledge()
        return live

    async def _miss(self, job: Job) -> None:
        """Return a job whose run is not in the log yet, a bounded number of times."""
        now = asyncio.get_running_loop().time()
        age = now - self._unseen.setdefault(job.run, now)
        if age < LOST_SECONDS:
            while len(self._unseen) > LOST_RUNS:
                del self._unseen[next(iter(self._unseen))]
            await job.give_back(max(age / PATIENCE, RETRY_SECONDS))
            return
        del self._unseen[job.run]
        if await self._directory.record(job.run) is None:  # its first frame may have been written
            await self._store.log.drop([job.run])
        await job.acknowledge()

    async def _is_for_us(self, job: Job, agent: str) -> bool:
        """Whether this process has the run's agent, or no process has had it for so long that none will;
        the job is kept until then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STRANGE_SECONDS
        while not self._worker.knows(agent):
            if loop.time() > deadline:
                return True
            with suppress(LogError):
                await job.beat()
                if await self._work.call(_knowing(agent), b"", self._work.lease / 3) is not None:
                    return False
            await self._pause(self._work.lease / 3)
            if self._draining.is_set():
                return False
        return True

    async def _is_worked_on(self, run: str) -> bool:
        """Whether a worker answers for the run: a run may have two jobs, if one that seemed lost comes
        back."""
        if self._works_on(run):
            return True
        try:
            reply = await self._work.call(
                run, worker_rpc.encode(worker_rpc.Ask()), self._work.lease / 3
            )
            return reply is not None and worker_rpc.outcome(reply)
        except LogError:
            return False

    def _works_on(self, run: str) -> bool:
        live = self._worker.live(run)
        return live is not None and live.writer.state.phase == "running"

    async def _arrival(self, run: str, after: int = -1) -> tuple[RunRecord, RunState] | None:
        """A run's record and state beyond an event, once both are durable; None if they do not appear."""
        for seconds in ARRIVAL_SECONDS:
            record = await self._directory.record(run)
            with suppress(NotFound):
                state = await self._directory.state(run)
                if record is not None and state.seq > after:
                    return record, state
            await self._pause(seconds)
        return None

    async def _until_over(self, job: Job, live: RunTask) -> None:
        """Keep the job while its run is worked on, and cancel a run that requires a reader and has none."""
        if live.task is None:
            raise AssertionError("a run that was picked up is worked on")
        loop = asyncio.get_running_loop()
        read = loop.time()
        while not live.task.done():
            await asyncio.wait([live.task], timeout=self._work.lease / 3)
            with suppress(LogError):
                await job.beat()
            if live.record.grace is None or live.task.done():
                continue
            if await self._presence.is_read(job.run):
                read = loop.time()
            elif loop.time() - read > live.record.grace:
                live.cancel(UNREAD)

    async def _respond(self, run: str, body: bytes) -> bytes | None:
        """Answer the calls of other processes about a run of this one."""
        return await worker_rpc.respond(
            body,
            works=partial(self._works_on, run),
            cancel=partial(self._worker.cancel, run),
            answer=partial(self._worker.answer, run),
        )

    async def _watch_clock(self) -> None:
        while not self._draining.is_set():
            await self._pause(CLOCK_SECONDS)
            await self._look_at_clock()

    async def _look_at_clock(self) -> None:
        """Check the clock: the age of runs and their expiry depend on the clocks of all processes, so one
        with a wrong clock starts no runs and works on none."""
        try:
            ahead = await self._work.ahead(self._clock())
        except LogError as error:
            logger.warning("the engine's clock cannot be seen: %s", error)
            return
        self._wrong = abs(ahead) >= JUMP
        if self._wrong:
            logger.error(
                "the clock is %.1f h ahead of the engine's: this process begins no runs and works on"
                " none until the two agree",
                ahead / HOUR,
            )

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _yes(_: bytes) -> bytes:
    return b"yes"


def _knowing(agent: str) -> str:
    """The name to which workers with an agent respond; a subject cannot contain any agent name."""
    return f"agent.{agent.encode().hex()}"
