"""The contract of every store, independent of its storage.

An engine that needs only a folder adds a line to `FACTORIES`; one with servers has a file like
`test_nats_store.py`. `test_registry.py` fails if an engine has neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from tailrace.errors import Fenced, LogError, RevisionMismatch
from tailrace.events import types as t
from tailrace.events.stored import BARRIER, frame
from tailrace.events.types import Event
from tailrace.log.contract import Change, Record, Store, Value, new
from tailrace.log.follow import follow
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.support.logs import log, text

FACTORIES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": SqliteStore,
}
ENDED = log(text(0, *"abcdefgh"), end=t.RunCompleted())
RUN = "01kabcdefghjkmnpqrstvwxyz0"
TURNS = 100
"""Turns of the event loop, and of another thread, in which an early notification would arrive."""
Hold: TypeAlias = Callable[[], AbstractContextManager[None]]
"""While this context is active the store cannot make anything durable."""


async def append(store: Store, run: str, events: Sequence[Event], attempt: int = 1) -> None:
    """Append some events as one frame."""
    await store.log.append(run, frame(events), expected=events[0].seq - 1, attempt=attempt)


async def everything(store: Store, run: str, after: int = -1) -> list[Event]:
    """All events of a run."""
    found: list[Event] = []
    while events := await store.log.read(run, found[-1].seq if found else after):
        found += events
    return found


def _more(found: Record | None, text: bytes) -> Value:
    """What a record holds, and more."""
    return Value((found.value if found is not None else b"") + text)


class LogContract:
    """The suite; `store` is an open store, and `hold` stops its commits (it skips the test if an append
    commits before it returns)."""

    def takes_barriers(self, store: Store) -> bool:
        """Whether the engine serves many processes, or takes barriers for tests of these."""
        return True

    async def test_what_was_appended_is_read(self, store: Store) -> None:
        await append(store, RUN, ENDED[:3])
        await append(store, RUN, ENDED[3:5])
        assert await everything(store, RUN) == ENDED[:5]
        assert await everything(store, RUN, 3) == ENDED[4:5]
        assert not await store.log.read(RUN, 4)
        assert not await store.log.read("unknown", -1)

    async def test_nothing_is_seen_before_it_is_durable(self, store: Store) -> None:
        seen: list[Event] = []
        store.log.watch(RUN, seen.extend)
        appending = asyncio.ensure_future(
            store.log.append(RUN, frame(ENDED[:2]), expected=-1, attempt=1)
        )
        assert not seen
        found = await store.log.read(RUN, -1)  # the commit may complete during this read
        assert appending.done() or not found
        await appending
        assert seen == ENDED[:2]

    async def test_nothing_is_seen_while_its_commit_waits(self, store: Store, hold: Hold) -> None:
        seen: list[Event] = []
        await append(store, RUN, ENDED[:1])
        store.log.watch(RUN, seen.extend)
        with hold():
            appending = asyncio.ensure_future(
                store.log.append(RUN, frame(ENDED[1:3]), expected=0, attempt=1)
            )
            reading = asyncio.ensure_future(store.log.read(RUN, 0))
            for _ in range(TURNS):
                await asyncio.to_thread(int)
                assert not seen
                assert not appending.done()
                assert not reading.done() or not reading.result()
        await appending
        assert seen == ENDED[1:3]
        await reading
        assert await everything(store, RUN) == ENDED[:3]

    @pytest.mark.parametrize("expected", [-1, 0, 2, 7])
    async def test_a_wrong_place_is_fenced(self, store: Store, expected: int) -> None:
        await append(store, RUN, ENDED[:2])
        again = frame(ENDED[expected + 1 : expected + 3])
        with pytest.raises(Fenced):
            await store.log.append(RUN, again, expected=expected, attempt=1)
        assert await everything(store, RUN) == ENDED[:2]

    async def test_an_older_attempt_is_fenced(self, store: Store) -> None:
        await append(store, RUN, ENDED[:2], attempt=3)
        with pytest.raises(Fenced):
            await append(store, RUN, ENDED[2:3], attempt=2)
        await append(store, RUN, ENDED[2:3], attempt=3)

    async def test_an_ended_run_stays_fenced(self, store: Store) -> None:
        await append(store, RUN, ENDED)
        late = [Event(len(ENDED), 1, "", "", t.RunAttempt(2, "late"))]
        with pytest.raises(Fenced):
            await append(store, RUN, late, attempt=2)
        with pytest.raises(Fenced):
            await append(store, RUN, ENDED[:1])
        assert await everything(store, RUN) == ENDED

    async def test_a_watch_sees_each_event_once_until_it_stops(self, store: Store) -> None:
        seen: list[Event] = []
        stop = store.log.watch(RUN, seen.extend)
        await append(store, RUN, ENDED[:2])
        await append(store, RUN, ENDED[2:4])
        stop()
        stop()
        await append(store, RUN, ENDED[4:])
        assert seen == ENDED[:4]

    async def test_runs_do_not_mix(self, store: Store) -> None:
        await asyncio.gather(*(append(store, f"run{n}", ENDED[: n + 1]) for n in range(8)))
        for n in range(8):
            assert await everything(store, f"run{n}") == ENDED[: n + 1]

    async def test_open_runs_are_those_without_an_end(self, store: Store) -> None:
        await append(store, "a", ENDED[:3])
        await append(store, "b", ENDED)
        await append(store, "c", ENDED[:1])
        assert sorted(await store.log.open_runs()) == ["a", "c"]

    async def test_a_run_begins_with_its_records(self, store: Store) -> None:
        await store.records.put("names", "chat", b"old")
        before = [Change("names", "chat", lambda found: _more(found, b" new"))]
        beside = [new("runs", RUN, b"record", expires=7), Change("runs", "left", lambda _: None)]
        await store.begin(RUN, frame(ENDED[:2]), before=before, beside=beside)
        await append(store, RUN, ENDED[2:3])
        assert await everything(store, RUN) == ENDED[:3]
        name, record = (
            await store.records.get("names", "chat"),
            await store.records.get("runs", RUN),
        )
        assert name is not None
        assert (name.value, name.revision) == (b"old new", 2)
        assert record == Record(RUN, b"record", 1, 7)
        assert await store.records.get("runs", "left") is None

    async def test_a_change_that_refuses_begins_nothing(self, store: Store) -> None:
        await store.records.put("names", "taken", b"first")
        changes = [new("names", "taken", b"second"), new("names", "other", b"value")]
        with pytest.raises(RevisionMismatch):
            await store.begin(RUN, frame(ENDED[:1]), before=changes, beside=[])
        assert not await store.log.read(RUN, -1)
        assert await store.records.get("names", "other") is None
        await store.begin(RUN, frame(ENDED[:1]), before=changes[1:], beside=[])
        assert await everything(store, RUN) == ENDED[:1]

    async def test_a_run_begins_once(self, store: Store) -> None:
        await store.begin(RUN, frame(ENDED[:1]), before=[], beside=[])
        with pytest.raises(Fenced):
            await store.begin(RUN, frame(ENDED[:1]), before=[], beside=[])
        assert await everything(store, RUN) == ENDED[:1]

    async def test_a_run_behind_a_barrier_never_begins(self, store: Store) -> None:
        if not self.takes_barriers(store):
            pytest.skip("an engine for one process takes no barrier")
        told: list[Sequence[Event]] = []
        stop = store.log.watch(RUN, told.append)
        await store.log.append(RUN, BARRIER, expected=-1, attempt=1)
        assert not await store.log.read(RUN, -1)
        assert RUN not in await store.log.open_runs()
        for barred in (frame(ENDED[:3]), BARRIER):
            with pytest.raises(Fenced):
                await store.log.append(RUN, barred, expected=-1, attempt=1)
            with pytest.raises(Fenced):
                await store.begin(RUN, barred, before=[], beside=[])
        assert not await store.log.read(RUN, -1)
        assert not told
        await store.log.drop([RUN])
        stop()
        await append(store, RUN, ENDED[:3])
        assert await everything(store, RUN) == ENDED[:3]

    async def test_a_run_that_has_begun_has_no_barrier(self, store: Store) -> None:
        await append(store, RUN, ENDED[:3])
        with pytest.raises(Fenced):
            await store.log.append(RUN, BARRIER, expected=-1, attempt=1)
        await append(store, RUN, ENDED[3:5])
        assert await everything(store, RUN) == ENDED[:5]

    async def test_changes_at_once_all_count(self, store: Store) -> None:
        change = Change("names", "list", lambda found: _more(found, b"x"))
        await asyncio.gather(*(store.records.change(change) for _ in range(20)))
        found = await store.records.get("names", "list")
        assert found is not None
        assert (found.value, found.revision) == (b"x" * 20, 20)

    async def test_a_dropped_run_is_gone(self, store: Store) -> None:
        await append(store, RUN, ENDED)
        await append(store, "other", ENDED)
        await store.log.drop([RUN, "unknown"])
        assert not await store.log.read(RUN, -1)
        assert await everything(store, "other") == ENDED

    @pytest.mark.parametrize("turns", range(4))
    async def test_an_append_to_a_run_that_is_dropped_meanwhile_is_fenced(
        self, store: Store, turns: int
    ) -> None:
        await append(store, RUN, ENDED[:2])
        seen: list[Event] = []
        store.log.watch(RUN, seen.extend)
        appending = asyncio.ensure_future(
            store.log.append(RUN, frame(ENDED[2:4]), expected=1, attempt=1)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        in_time = appending.done()
        await store.log.drop([RUN])
        if not in_time:
            with pytest.raises(Fenced):
                await appending
            assert not seen
        assert not await store.log.read(RUN, -1)

    async def test_one_append_at_a_time(self, store: Store) -> None:
        """A commit may fail between two appends; the second would then leave a gap."""
        first = asyncio.ensure_future(append(store, RUN, ENDED[:2]))
        second = asyncio.ensure_future(append(store, RUN, ENDED[2:4]))
        await first
        with pytest.raises(Fenced):
            await second
        assert await everything(store, RUN) == ENDED[:2]

    async def test_a_listener_that_fails_does_not_affect_the_others(self, store: Store) -> None:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reported.append(context["message"])
        )
        seen: list[Event] = []
        store.log.watch("bad", lambda events: seen.append(events[999]))
        store.log.watch("good", seen.extend)
        await asyncio.gather(*(append(store, run, ENDED[:2]) for run in ("bad", "good")))
        assert seen == ENDED[:2]
        assert reported == ["a listener of run bad failed"]

    async def test_a_long_run_is_read_in_slices(self, store: Store) -> None:
        many = log([t.ItemStarted(0, "message"), *(t.TextDelta(0, "x" * 50) for _ in range(5000))])
        for start in range(0, len(many), 100):
            await append(store, RUN, many[start : start + 100])
        assert await everything(store, RUN) == many
        assert await everything(store, RUN, 2500) == many[2501:]

    async def test_follow_gives_history_then_live(self, store: Store) -> None:
        await append(store, RUN, ENDED[:4])
        seen: list[Event] = []

        async def reader() -> None:
            async for events in follow(store.log, RUN, 1):
                seen.extend(events)

        reading = asyncio.create_task(reader())
        for event in ENDED[4:]:
            await append(store, RUN, [event])
        await reading
        assert seen == ENDED[2:]

    async def test_a_closed_store_refuses(self, store: Store) -> None:
        await append(store, RUN, ENDED[:2])
        await store.close()
        with pytest.raises(LogError):
            await append(store, RUN, ENDED[2:3])

    async def test_records_are_compare_and_set(self, store: Store) -> None:
        records = store.records
        assert await records.get("b", "k") is None
        assert await records.put("b", "k", b"1", revision=0) == 1
        with pytest.raises(RevisionMismatch):
            await records.put("b", "k", b"2", revision=0)
        assert await records.put("b", "k", b"2", revision=1, expires=9) == 2
        assert await records.put("b", "k", b"3") == 3
        found = await records.get("b", "k")
        assert found is not None
        assert (found.value, found.revision, found.expires) == (b"3", 3, 0)
        await records.delete("b", "k")
        await records.delete("b", "k")
        assert await records.get("b", "k") is None

    async def test_records_are_scanned_in_order(self, store: Store) -> None:
        for key in ("c", "a", "d", "b"):
            await store.records.put("b", key, key.encode())
        await store.records.put("other", "a", b"")
        scan = store.records.scan
        assert [r.key for r in await scan("b")] == ["a", "b", "c", "d"]
        assert [r.key for r in await scan("b", after="b", limit=1)] == ["c"]
        assert [r.key for r in await scan("b", newest_first=True)] == ["d", "c", "b", "a"]
        assert [r.key for r in await scan("b", after="c", newest_first=True)] == ["b", "a"]

    async def test_due_records_are_those_whose_time_is_over(self, store: Store) -> None:
        for key, expires in (("a", 5), ("b", 0), ("c", 9), ("d", 10)):
            await store.records.put("b", key, b"", expires=expires)
        assert sorted(r.key for r in await store.records.due("b", 9)) == ["a", "c"]

    async def test_puts_take_effect_in_the_order_of_the_calls(self, store: Store) -> None:
        await asyncio.gather(*(store.records.put("b", "k", b"%d" % n) for n in range(20)))
        found = await store.records.get("b", "k")
        assert found is not None
        assert found.value == b"19"
