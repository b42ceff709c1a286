"""The upkeep never loses, doubles or revives data: with any schedule, and with a crash image at any moment
of it.

The bounds are tiny, so that a few events make chunks, seals, trims and tombstones. A crash image is an
unchanged copy of the file and of its write-ahead log: the file itself changes only in checkpoints, and a
crash leaves a prefix of the log.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import Fenced
from tailrace.events import types as t
from tailrace.events.types import Event
from tailrace.log.stores.sqlite import live, rows, upkeep
from tailrace.log.stores.sqlite.schema import FILE
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import append, everything

TINY = (
    (live, "TAIL_EVENTS", 4),
    (live, "CHUNK_EVENTS", 5),
    (rows, "CHUNK_EVENTS", 5),
    (upkeep, "TRIM_SEGMENTS", 2),
    (upkeep, "TRIM_AT_ONCE", 2),
    (upkeep, "OLD_SEGMENTS", 5),
)

runs = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(runs, min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("append"), st.lists(runs, min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("append"), st.just([0])),
    st.tuples(st.just("end"), st.lists(runs, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("drop"), st.lists(runs, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("turn"), st.just([0])),
    st.tuples(st.just("restart"), st.just([0])),
    st.tuples(st.just("crash"), st.just([0])),
)


def deltas(first: int, count: int) -> list[Event]:
    """This many events, starting at `first`."""
    return [
        Event(first + n, 1, "n", "MAIN", t.TextDelta(0, "x" * (first % 7))) for n in range(count)
    ]


@contextmanager
def tiny(**others: int) -> Iterator[None]:
    """Small values for all bounds of the upkeep."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in TINY:
            patch.setattr(module, name, others.get(name, value))
        yield


async def opened(folder: Path) -> SqliteStore:
    """A store that is ready."""
    store = SqliteStore(folder)
    await store.open()
    return store


def crash_image(folder: Path, into: Path) -> Path:
    """The files that a new process would find if this one died now."""
    into.mkdir(parents=True)
    for name in (FILE, f"{FILE}-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, into / name)
    return into


class Model:
    """The acknowledged events, by run; a number stands for its latest run, older ones were dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.images = 0
        self.names = {n: f"run{n}" for n in range(4)}
        self.logs: dict[str, list[Event]] = {}
        self.gone: list[str] = []

    def ended(self, name: str) -> bool:
        log = self.logs.get(name)
        return log is not None and bool(log) and isinstance(log[-1].payload, t.RunEnd)

    async def step(self, store: SqliteStore, kind: str, which: list[int]) -> SqliteStore:
        names = [self.names[n] for n in which]
        match kind:
            case "append":
                live = [
                    (n, name) for n, name in zip(which, names, strict=True) if not self.ended(name)
                ]
                await asyncio.gather(*(self.append(store, name, n + 1) for n, name in live))
            case "end":
                await asyncio.gather(
                    *(self.end(store, name) for name in names if not self.ended(name))
                )
            case "drop":
                await store.log.drop(names)
                self.gone += names
                for n, name in zip(which, names, strict=True):
                    self.logs.pop(name, None)
                    self.names[n] = name + "'"
            case "turn":
                await asyncio.sleep(0)
            case "restart":
                await store.close()
                store = await opened(self.folder)
            case _:
                self.images += 1
                image = crash_image(self.folder, self.folder.parent / f"image{self.images}")
                await self.check(await opened(image))
        return store

    async def append(self, store: SqliteStore, name: str, count: int) -> None:
        log = self.logs.get(name, [])
        events = deltas(len(log), count)
        await append(store, name, events)
        self.logs.setdefault(name, []).extend(events)

    async def end(self, store: SqliteStore, name: str) -> None:
        log = self.logs.get(name, [])
        events = [Event(len(log), 1, "", "", t.RunCompleted())]
        await append(store, name, events)
        self.logs.setdefault(name, []).extend(events)

    async def check(self, store: SqliteStore) -> None:
        for name, log in self.logs.items():
            assert await everything(store, name) == log
            assert await everything(store, name, len(log) // 2) == log[len(log) // 2 + 1 :]
        for name in self.gone:
            assert not await store.log.read(name, -1)
        open_runs = [name for name in self.logs if not self.ended(name)]
        assert sorted(await store.log.open_runs()) == sorted(open_runs)
        await store.close()


@settings(max_examples=40)
@given(schedule=st.lists(steps, min_size=5, max_size=60), seal_bytes=st.sampled_from([200, 10_000]))
def test_any_schedule_keeps_what_was_acknowledged(
    schedule: list[tuple[str, list[int]]], seal_bytes: int
) -> None:
    async def scene(folder: Path) -> None:
        model = Model(folder)
        store = await opened(model.folder)
        for kind, which in schedule:
            store = await model.step(store, kind, which)
        await store.close()
        await model.check(await opened(model.folder))

    with tempfile.TemporaryDirectory() as folder, tiny(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "SEAL_BYTES", seal_bytes)
        asyncio.run(scene(Path(folder)))


END = [Event(300, 1, "", "", t.RunCompleted())]


async def test_a_run_that_ends_while_its_chunk_is_written_is_not_doubled(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await append(store, "run", deltas(0, 300))
    await append(store, "run", END)
    await append(store, "other", deltas(0, 1))  # in the commit that would seal too early, and fail
    await store.close()
    again = await opened(tmp_path)
    assert await again.log.open_runs() == ["other"]
    assert await everything(again, "run") == deltas(0, 300) + END
    with pytest.raises(Fenced):
        await append(again, "run", deltas(0, 1))
    assert await everything(again, "run") == deltas(0, 300) + END
    await again.close()


@pytest.mark.parametrize("ends", [False, True], ids=["chunk", "seal"])
async def test_pending_maintenance_does_not_restore_a_dropped_run(
    tmp_path: Path, ends: bool
) -> None:
    store = await opened(tmp_path)
    await append(store, "run", deltas(0, 300) + (END if ends else []))
    await store.log.drop(["run"])
    await append(store, "other", deltas(0, 1))
    assert not await store.log.read("run", -1)
    await store.close()


async def test_a_dropped_run_stays_gone_after_a_crash(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    await append(store, "ended", [*deltas(0, 2), Event(2, 1, "", "", t.RunCompleted())])
    await append(store, "open", deltas(0, 2))
    await store.log.drop(["ended", "open"])
    image = await opened(crash_image(tmp_path / "data", tmp_path / "image"))
    assert await image.log.open_runs() == []
    assert not await image.log.read("ended", -1)
    with pytest.raises(Fenced):
        await append(image, "open", deltas(2, 1))
    await image.close()
    await store.close()


async def test_a_quiet_run_does_not_hold_back_segments(tmp_path: Path) -> None:
    with tiny(TAIL_EVENTS=1_000):
        store = await opened(tmp_path)
        await append(store, "quiet", deltas(0, 2))
        for n in range(60):
            await append(store, "busy", deltas(n, 1))
        await append(store, "quiet", deltas(2, 1))
        with sqlite3.connect(tmp_path / FILE) as connection:
            (oldest,) = connection.execute("SELECT min(id) FROM segments").fetchone()
        connection.close()
        assert oldest > 30
        await store.close()
    again = await opened(tmp_path)
    assert await everything(again, "quiet") == deltas(0, 2) + deltas(2, 1)
    await again.close()


async def test_an_ended_run_leaves_the_memory(tmp_path: Path) -> None:
    """Memory holds live runs only; a seal that a crash prevented is made at the next start."""
    store = await opened(tmp_path / "data")
    await append(store, "run", [*deltas(0, 9), Event(9, 1, "", "", t.RunCompleted())])
    image = crash_image(tmp_path / "data", tmp_path / "image")
    await store.close()
    with sqlite3.connect(image / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    connection.close()
    again = await opened(image)
    await again.close()
    with sqlite3.connect(image / FILE) as connection:
        assert connection.execute("SELECT first, last FROM chunks").fetchall() == [(0, 9)]
        assert connection.execute("SELECT count(*) FROM segments").fetchone() == (0,)
    connection.close()
