"""Jobs of a cluster over a store in memory: each run has a worker, and none is taken from its worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from tailrace.errors import Conflict, LogError
from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.answers import Reply
from tailrace.events.stored import Frame, frame
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs import cluster
from tailrace.runs.cluster import LOST_SECONDS
from tailrace.runs.settings import HOUR
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import ending, main_drafts, opening
from tests.support.house import Behave, House
from tests.support.jobs import Jobs, Offered, hangs, house, some_turns
from tests.support.waiting import until


async def asks(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    if context.state.resumptions:
        yield ending(context.state)
        return
    yield opening(context.state, "helper")
    yield main_drafts([t.InputRequested("q", "Which?")])


async def asks_two(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    state = context.state
    if not state.resumptions:
        yield opening(state, "helper")
        yield main_drafts([t.InputRequested("q", "Which?"), t.InputRequested("r", "When?")])
    elif len(state.answers) == 2:
        yield ending(state)


async def test_a_run_is_offered_before_it_begins() -> None:
    store, jobs = MemoryStore(), Jobs()
    jobs.may_offer.clear()
    api = await house(store, jobs, hangs, works=False)
    starting = asyncio.create_task(api.start())
    await some_turns()
    (run, after), *_ = jobs.offers
    assert after == -1
    assert not await store.log.read(run, -1), "whoever dies now must not leave a run with nobody"
    jobs.may_offer.set()
    assert await starting == run
    assert await store.log.read(run, -1)


async def test_a_run_is_offered_before_its_answer_is_written() -> None:
    store, jobs = MemoryStore(), Jobs()
    house_ = await house(store, jobs, asks)
    run = await house_.start()
    await jobs.waiting.put(Offered(run))
    state = await house_.finished(run)
    assert state.phase == "waiting"
    jobs.may_offer.clear()
    answering = asyncio.create_task(house_.supervisor.answer(run, (Reply("q", "red"),)))
    await until(lambda: len(jobs.offers) == 2)
    await some_turns()
    assert jobs.offers[1] == (run, state.seq)
    assert (await house_.directory.state(run)).phase == "waiting"
    jobs.may_offer.set()
    await answering
    await jobs.waiting.put(Offered(run, after=state.seq))
    assert (await house_.finished(run)).is_finished
    await house_.supervisor.close()


async def test_answers_to_two_questions_at_two_processes_at_once_both_count() -> None:
    store, jobs = MemoryStore(), Jobs()
    one, other = [await house(store, jobs, asks_two, works=works) for works in (True, False)]
    run = await one.start()
    await jobs.waiting.put(Offered(run))
    assert (await one.finished(run)).phase == "waiting"
    jobs.may_offer.clear()
    answering = [
        asyncio.create_task(each.supervisor.answer(run, (Reply(question, "so"),)))
        for each, question in ((one, "q"), (other, "r"))
    ]
    await until(lambda: len(jobs.offers) == 3)
    jobs.may_offer.set()  # both assume that they wake it
    await until(lambda: any(task.done() for task in answering))
    while not all(task.done() for task in answering):
        await jobs.waiting.put(Offered(run))
        await until(jobs.waiting.empty)
    await asyncio.gather(*answering)
    await jobs.waiting.put(Offered(run))
    state = await one.finished(run)
    assert (state.answers, state.is_finished) == ({"q": "so", "r": "so"}, True)
    with pytest.raises(Conflict):
        await other.supervisor.answer(run, (Reply("q", "again"),))
    await one.supervisor.close()
    await other.supervisor.close()


async def test_a_run_that_is_answered_elsewhere_while_it_is_cancelled_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, jobs = MemoryStore(), Jobs()
    worker, api = [await house(store, jobs, asks_two, works=works) for works in (True, False)]
    run = await worker.start()
    await jobs.waiting.put(Offered(run))
    assert (await worker.finished(run)).phase == "waiting"
    append = store.log.append

    async def answered_first(run: str, frame: Frame, *, expected: int, attempt: int) -> None:
        monkeypatch.undo()
        await worker.supervisor.answer(run, (Reply("q", "so"),))
        await append(run, frame, expected=expected, attempt=attempt)

    monkeypatch.setattr(store.log, "append", answered_first)
    await api.supervisor.cancel(run, "me")
    assert (await api.directory.state(run)).end == t.RunCancelled("me")
    await worker.supervisor.close()
    await api.supervisor.close()


async def test_a_run_waits_for_a_worker_that_knows_its_agent() -> None:
    """During the rollout of a new version, only some processes have the new agents."""
    store, jobs = MemoryStore(), Jobs()
    api = await house(store, jobs, hangs, works=False)
    old = await house(store, jobs, hangs, agent="another")
    run = await api.start()
    first = Offered(run)
    await jobs.waiting.put(first)
    await until(lambda: first.beats > 1)
    assert not first.over(), "nobody else would know it"
    new = await house(store, jobs, hangs)
    await until(first.over)
    assert first.given_back, "to whoever gets it next"
    await old.supervisor.close()
    await jobs.waiting.put(Offered(run))
    await until(lambda: bool(new.supervisor.live()))
    state = await new.directory.state(run)
    assert (state.phase, state.attempt) == ("running", 1)
    for each in (api, new):
        await each.supervisor.close()


async def test_a_run_of_an_unknown_agent_fails_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "STRANGE_SECONDS", 0.2)
    store, jobs = MemoryStore(), Jobs()
    api = await house(store, jobs, hangs, works=False)
    worker = await house(store, jobs, hangs, agent="another")
    run = await api.start()
    job = Offered(run)
    await jobs.waiting.put(job)
    await until(lambda: job.done_)
    assert (await api.finished(run)).end == t.RunFailed(
        "server_error", "The agent helper no longer exists."
    )
    for each in (api, worker):
        await each.supervisor.close()


async def test_a_run_is_answered_where_its_agent_is_not_known() -> None:
    store, jobs = MemoryStore(), Jobs()
    worker = await house(store, jobs, asks)
    old = await house(store, jobs, asks, works=False, agent="another")
    run = await worker.start()
    await jobs.waiting.put(Offered(run))
    assert (await worker.finished(run)).phase == "waiting"
    await old.supervisor.answer(run, (Reply("q", "red"),))
    await jobs.waiting.put(Offered(run))
    assert (await worker.finished(run)).is_finished
    for each in (worker, old):
        await each.supervisor.close()


class Fenced:
    """A run that has two workers: the first has been fenced, and does not know that yet."""

    def __init__(self) -> None:
        self.store, self.jobs = MemoryStore(), Jobs()
        self.run = ""

    async def open(self, behave: Behave) -> tuple[House, House]:
        """The first worker, and a process that serves."""
        worker = await house(self.store, self.jobs, behave)
        api = await house(self.store, self.jobs, behave, works=False)
        self.run = await api.start()
        await self.jobs.waiting.put(Offered(self.run))
        await until(lambda: worker.supervisor.live() == 1)
        await some_turns()
        state = await worker.directory.state(self.run)
        taken = state.advance(t.Draft(t.RunAttempt(2, "its worker was gone")), 0)
        await self.store.log.append(self.run, frame([taken]), expected=taken.seq - 1, attempt=2)
        return worker, api


async def asks_and_works(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    yield opening(context.state, "helper")
    yield main_drafts([t.InputRequested("q", "Which?")])
    await asyncio.Event().wait()


async def pauses(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
    for _ in range(0):
        yield ()


async def test_a_fenced_worker_cancels_nothing() -> None:
    fenced = Fenced()
    worker, api = await fenced.open(hangs)
    await api.supervisor.cancel(fenced.run, "me")
    assert (await api.directory.state(fenced.run)).end == t.RunCancelled("me")
    for each in (worker, api):
        await each.supervisor.close()


async def test_an_answer_is_not_lost_with_a_fenced_worker() -> None:
    fenced = Fenced()
    worker, api = await fenced.open(asks_and_works)
    answering = asyncio.create_task(api.supervisor.answer(fenced.run, (Reply("q", "red"),)))
    await until(lambda: worker.supervisor.live() == 0)
    await worker.supervisor.drain()  # otherwise the job may belong to it again
    second = await house(fenced.store, fenced.jobs, pauses)
    await fenced.jobs.waiting.put(Offered(fenced.run))
    await answering
    assert (await api.directory.state(fenced.run)).answers == {"q": "red"}
    for each in (worker, api, second):
        await each.supervisor.close()


async def test_a_job_without_a_log_is_offered_again_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, jobs = MemoryStore(), Jobs()
    worker = await house(store, jobs, hangs)
    run = await worker.start()
    early = Offered(run, after=5)
    await jobs.waiting.put(early)
    await until(early.over)
    assert early.given_back == [0.5]
    worker.now += 2 * int(LOST_SECONDS * 1000)
    await jobs.waiting.put(early)
    await until(lambda: len(early.given_back) == 2)
    assert not early.done_, "its clock is its own business"
    monkeypatch.setattr(cluster, "LOST_SECONDS", 0.0)
    await jobs.waiting.put(early)
    await until(lambda: early.done_)
    await worker.supervisor.close()


async def test_a_starting_run_is_not_removed_by_a_process_with_a_fast_clock() -> None:
    """It was offered, and its first frame waits for a leader."""
    store, jobs = MemoryStore(), Jobs()
    worker = await house(store, jobs, hangs)
    worker.now += 600_000
    dropped: list[Sequence[str]] = []
    store.log.drop = dropped.append  # type: ignore[method-assign,assignment]
    coming = Offered(ids.ulid(worker.now, bytes(10)))
    await jobs.waiting.put(coming)
    await until(coming.over)
    assert not dropped
    assert not coming.done_
    await worker.supervisor.close()


@pytest.mark.parametrize("hours", [-30 * 24, -1, 1, 30 * 24])
async def test_a_process_with_a_wrong_clock_takes_and_starts_no_runs(
    hours: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CLOCK_SECONDS", 0.01)
    store, jobs = MemoryStore(), Jobs()
    right = await house(store, jobs, hangs)
    run = await right.start()
    await right.supervisor.close()
    jobs.wrong = hours * HOUR
    wrong = await house(store, jobs, hangs)
    with pytest.raises(LogError, match="clock is wrong"):
        await wrong.start()
    assert f"{hours:.1f} h ahead" in caplog.text
    job = Offered(run)
    await jobs.waiting.put(job)
    reads = jobs.clock_reads
    await until(lambda: jobs.clock_reads > reads + 3)
    assert jobs.waiting.qsize() == 1, "somebody else will take it"
    jobs.wrong = 0
    await until(lambda: wrong.supervisor.live() == 1)
    await wrong.supervisor.close()


async def test_a_run_is_not_taken_from_its_active_worker() -> None:
    store, jobs = MemoryStore(), Jobs()
    one, other = [await house(store, jobs, hangs) for _ in range(2)]
    run = await one.start()
    await jobs.waiting.put(Offered(run))
    await until(lambda: one.supervisor.live() + other.supervisor.live() == 1)
    for _ in range(4):  # whichever of the two receives it
        second = Offered(run)
        await jobs.waiting.put(second)
        await until(second.over)
        assert second.given_back == [jobs.lease], "should the other die, somebody must come back"
    assert (await one.directory.state(run)).attempt == 1
    for each in (one, other):
        await each.supervisor.close()


async def test_a_fenced_worker_gives_nothing_back_when_it_stops() -> None:
    go = asyncio.Event()

    async def goes_on(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        yield opening(context.state, "helper")
        await go.wait()
        yield ending(context.state)

    store, jobs = MemoryStore(), Jobs()
    worker = await house(store, jobs, goes_on)
    run = await worker.start()
    job = Offered(run)
    await jobs.waiting.put(job)
    await until(lambda: worker.supervisor.live() == 1)
    await some_turns()
    state = await worker.directory.state(run)
    taken = state.advance(t.Draft(t.RunAttempt(2, "its worker was gone")), 0)
    await store.log.append(run, frame([taken]), expected=taken.seq - 1, attempt=2)
    draining = asyncio.create_task(worker.supervisor.drain())
    await asyncio.sleep(0)
    go.set()
    await draining
    assert not job.over(), "another has it"
    await worker.supervisor.close()
