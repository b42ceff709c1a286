"""The maximum size of a run, whatever its agent emits and however it handles the limit; the events of the
end always fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from tailrace.config import parse
from tailrace.errors import Unavailable
from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.events.stored import Frame, frame
from tailrace.log.stores.memory.store import MemoryLog, MemoryStore
from tailrace.runs.bounded import RunBounds
from tailrace.runs.writer import FRAME_BYTES, FRAME_EVENTS, RunWriter
from tailrace.runtimes.adapters.generator.run import Run
from tailrace.runtimes.adapters.generator.runtime import Function, GeneratorRuntime
from tailrace.runtimes.contract import RunContext, Runtime
from tailrace.runtimes.node_lifecycle import NODE, main_drafts, opening
from tests.support.house import Fake, House, open_house
from tests.support.logs import request

BOUNDS = RunBounds(events=2_000, bytes=300_000, open_bytes=100_000)


async def finished(runtime: Runtime, bounds: RunBounds = BOUNDS) -> tuple[RunState, int]:
    """A run's state, and the bytes of its log."""
    house = await open_house(runtime, bounds=bounds)
    run = await house.start(text="go")
    state = await house.finished(run)
    size = len(frame(await house.directory.events(run)).body)
    await house.supervisor.close()
    return state, size


async def texts(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        yield run.text("word ")


async def messages(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        yield run.text("word " * 100)
        yield t.Usage("m")


async def customs(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        yield run.custom("x", ["y" * 1000])


async def one_custom(run: Run) -> AsyncGenerator[Any, None]:
    yield run.custom("x", "y" * 20_000_000)


async def calls(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        called = run.tool("find", what="a" * 500)
        yield called
        yield called.result("b" * 100_000_000)


async def progress(run: Run) -> AsyncGenerator[Any, None]:
    yield run.tool("find")
    while True:
        yield t.ToolProgress(0, "still at it " * 1000)


async def subagents(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        yield run.subagent("helper").text("hm")


async def swallows(run: Run) -> AsyncGenerator[Any, None]:
    while True:
        try:
            yield "word "
        except GeneratorExit:
            raise
        except BaseException:
            continue


GENERATORS: dict[str, tuple[Function, str]] = {
    "text": (texts, "max_run_events"),
    "messages": (messages, "max_run_bytes"),
    "events of its own": (customs, "max_run_bytes"),
    "one event": (one_custom, "max_event_bytes"),
    "calls": (calls, "max_run_bytes"),
    "progress": (progress, "max_run_bytes"),
    "subagents": (subagents, "max_run_events"),
    "text, whatever happens": (swallows, "max_run_events"),
}


@pytest.mark.parametrize("case", GENERATORS)
async def test_an_agent_that_never_stops_reaches_its_limit(case: str) -> None:
    function, reason = GENERATORS[case]
    state, size = await finished(GeneratorRuntime("poet", function))
    assert state.end == t.RunIncomplete(reason)
    assert size <= BOUNDS.bytes + 100_000  # the events of its end
    assert state.seq <= BOUNDS.events + 2_000


class Stubborn:
    """A runtime that ignores both a refusal and its cancellation."""

    resumes = True

    def __init__(self, stops: int, again: Callable[[RunContext], None]) -> None:
        self._stops = stops
        self._again = again

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, "helper"),)

    async def run(self, context: RunContext) -> None:
        context.emit(opening(context.state, "helper"))
        context.emit(main_drafts([t.ItemStarted(0, "message")]))
        while True:
            try:
                while True:
                    self._again(context)
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._stops -= 1
                if not self._stops:
                    return
            except Exception:
                await asyncio.sleep(0)


def talks(context: RunContext) -> None:
    context.emit([t.Draft(t.TextDelta(0, "word " * 100), NODE, t.MAIN)])


async def test_a_runtime_that_swallows_the_limit_is_stopped() -> None:
    state, _ = await finished(Stubborn(2, talks))
    assert state.end == t.RunIncomplete("max_reply_bytes")


class Raises(Stubborn):
    """A runtime that raises an error of its own instead."""

    async def run(self, context: RunContext) -> None:
        try:
            context.emit(opening(context.state, "helper"))
            while True:
                context.emit([t.Draft(t.Custom("x", "y" * 1000), NODE, t.MAIN)])
                await context.room()
        except Exception as error:
            raise RuntimeError("the framework had an error") from error


async def test_the_limit_is_the_reason_whatever_the_runtime_raises() -> None:
    state, _ = await finished(Raises(1, talks))
    assert state.end == t.RunIncomplete("max_run_bytes")


async def test_what_closes_an_item_has_its_place() -> None:
    """The event that closes an item contains its content once more."""
    bounds = RunBounds(events=0, bytes=300_000, open_bytes=0)
    state, size = await finished(Stubborn(1, talks), bounds)
    assert state.end == t.RunIncomplete("max_run_bytes")
    assert 290_000 < size <= 301_000


def opens(context: RunContext) -> None:
    """Another item, in addition to all those that are open."""
    number = len(context.state.items)
    context.emit(main_drafts([t.ItemStarted(number, "message")]))


async def test_items_that_are_open_have_a_number() -> None:
    state, _ = await finished(Stubborn(1, opens), RunBounds(open_items=50))
    assert state.end == t.RunIncomplete("max_open_items")
    assert len(state.items) == 50


async def test_the_next_worker_continues_the_count() -> None:
    store = MemoryStore()

    async def half(context: RunContext) -> AsyncGenerator[Sequence[t.Draft], None]:
        if context.state.attempt == 1:
            yield opening(context.state, "helper")
        for _ in range(150):
            yield [t.Draft(t.Custom("x", "y" * 1000), NODE, t.MAIN)]
        await asyncio.Event().wait()

    first = House(Fake(half), store=store, bounds=BOUNDS)
    await first.supervisor.open()
    run = await first.start(text="go")
    while len(await first.directory.events(run)) < 150:
        await asyncio.sleep(0)
    await first.supervisor.close()
    second = House(Fake(half), store=store, bounds=BOUNDS)
    await second.supervisor.open()
    state = await second.finished(run)
    assert state.attempt == 2
    assert state.end == t.RunIncomplete("max_run_bytes")
    await second.supervisor.close()


def test_the_bounds_hold_by_default() -> None:
    run = parse("").limits.run
    assert (run.events, run.bytes) == (1_000_000, 256 << 20)
    assert (run.open_bytes, run.open_items) == (16 << 20, 4_096)
    assert parse("[limits.run]\nevents = 0").limits.run.events == 0


class Counting(MemoryLog):
    """A log that records the sizes of its appends: events and bytes."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.sizes: list[tuple[int, int]] = []

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        self.sizes.append((len(frame.events), len(frame.body)))
        return super().append(run, frame, expected=expected, attempt=attempt)


async def test_frames_are_cut_by_count_and_by_bytes() -> None:
    store = MemoryStore()
    await store.open()
    log = Counting(store)
    writer = RunWriter(log, "run", RunState(), lambda: 0)
    writer.add([t.Draft(t.RunStarted(request()))])
    writer.add([t.Draft(t.NodeStarted("deep_agent", "helper"), NODE)])
    writer.add([t.Draft(t.Custom("x", "y" * 300_000), NODE) for _ in range(10)])
    assert writer.full
    writer.add([t.Draft(t.Custom("x", "\ud800" * 2_000_000), NODE)])
    writer.add([t.Draft(t.Custom("x", ""), NODE) for _ in range(1_000)])
    await writer.flush()
    assert not writer.full
    assert all(count <= FRAME_EVENTS for count, _ in log.sizes)
    assert all(size <= FRAME_BYTES + 10_000 or count == 1 for count, size in log.sizes)
    assert writer.state.size == sum(size - count + 1 for count, size in log.sizes)
    await store.close()


async def test_a_process_works_on_so_many_runs_at_once() -> None:
    async def waits(run: Run) -> AsyncGenerator[Any, None]:
        yield "hm"
        await asyncio.Event().wait()

    house = await open_house(GeneratorRuntime("poet", waits), most_runs=3)
    runs = [await house.start(text="go") for _ in range(3)]
    with pytest.raises(Unavailable):
        await house.start(text="go")
    await house.supervisor.cancel(runs[0], "a client")
    await house.start(text="go")
    await house.supervisor.close()
