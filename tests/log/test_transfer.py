"""A store is transferred into another line by line, and a client that reads there sees no difference."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Draft, Event
from tailrace.log import transfer
from tailrace.log.contract import Record, Store
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.stores.sqlite.store import SqliteStore
from tailrace.log.transfer import Broken, TransferCounts
from tailrace.protocols.openai_responses.stream import ResponsesEncoder, ResponsesStreamOptions
from tests.contracts.log_contract import everything
from tests.support import nats_stores
from tests.support.logs import call, log, text
from tests.support.nats_servers import Node, cluster

ENDED = "01kabcdefghjkmnpqrstvwxyz0"
LONG = "01kabcdefghjkmnpqrstvwxyz1"
OPEN = "01kabcdefghjkmnpqrstvwxyz2"
GONE = "01kabcdefghjkmnpqrstvwxyz3"
LOGS: dict[str, list[Event]] = {
    ENDED: log(
        [*text(0, "Héllo", " \u2028 ", '"you"'), *call(1, "find", "{}")], end=t.RunCompleted()
    ),
    LONG: log(
        text(0, *(f"{n} " * 100 for n in range(1_500))), end=t.RunIncomplete("max_output_tokens")
    ),
    OPEN: log([*text(0, "a"), Draft(t.RunAttempt(2, "it was cut off")), *text(1, "b")]),
}
RECORDS = {
    ("runs", ENDED): (b'{"run":1}', 0),
    ("runs", LONG): (b'{"run":2}', 1_763_690_000_123),
    ("runs", GONE): (b'{"status":"expired"}', 5),
    ("kept", f"{OPEN}/a b.c"): (b"\x00\xff\x80", 0),
    **{("conversations", f"conv_{n:03}"): (b"%d" % n, n) for n in range(250)},
}
BUCKETS = ("conversations", "kept", "runs")
"""`OPEN` has no record yet: the process died between its log and that."""


Lines = list[bytes]


@pytest.fixture(scope="module")
def lines() -> Lines:
    """The complete store, exported."""

    async def made() -> Lines:
        store = MemoryStore()
        await fill(store)
        return (await exported(store))[0]

    return asyncio.run(made())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@asynccontextmanager
async def opened(kind: str, folder: Path, nodes: Sequence[Node]) -> AsyncGenerator[Store, None]:
    """An empty store of this kind."""
    store: Store
    if kind == "nats":
        store = nats_stores.store(nodes, await nats_stores.installation(nodes))
    else:
        store = MemoryStore() if kind == "memory" else SqliteStore(folder / kind)
    await store.open()
    yield store
    await store.close()


async def fill(store: Store) -> None:
    """Runs and records as a server leaves them."""
    for run, events in LOGS.items():
        for begin in range(0, len(events), 100):
            piece = frame(events[begin : begin + 100])
            await store.log.append(run, piece, expected=begin - 1, attempt=2 if run == OPEN else 1)
    for (bucket, key), (value, expires) in RECORDS.items():
        await store.records.put(bucket, key, b"an earlier value")
        await store.records.put(bucket, key, value, expires=expires)


async def exported(store: Store) -> tuple[list[bytes], TransferCounts]:
    moved = TransferCounts()
    return [line async for line in transfer.export(store, BUCKETS, "runs", moved)], moved


@pytest.mark.parametrize("target", ["memory", "sqlite", "nats"])
@pytest.mark.parametrize("source", ["sqlite", "nats"])
async def test_a_store_goes_over(
    source: str, target: str, tmp_path: Path, nodes: Sequence[Node]
) -> None:
    async with opened(source, tmp_path / "source", nodes) as one:
        await fill(one)
        lines, moved = await exported(one)
    count = sum(map(len, LOGS.values()))
    assert moved == TransferCounts(runs=3, records=len(RECORDS), events=count, open=[OPEN])
    for line in lines:
        alone = line.count(b'"type":"item.completed"') == 1 and line.count(b"[") < 4
        assert alone or len(line) < 2 * transfer.LINE_BYTES
    async with opened(target, tmp_path / "target", nodes) as other:
        assert await transfer.import_(other, lambda: lines) == moved
        for run, events in LOGS.items():
            found = await everything(other, run)
            assert found == events
            assert frames(run, found) == frames(run, events)
        for (bucket, key), (value, expires) in RECORDS.items():
            assert await other.records.get(bucket, key) == Record(key, value, 1, expires)
        assert (await exported(other))[0] == lines
        await goes_on(other)
        with pytest.raises(
            Broken, match=re.escape("line 2: the store has conversations/conv_000 already")
        ):
            await transfer.import_(other, lambda: lines)


def frames(run: str, events: Sequence[Event]) -> list[bytes]:
    """The frames that a client reads."""
    return ResponsesEncoder(run, ResponsesStreamOptions()).encode(events)


async def goes_on(store: Store) -> None:
    """A run that had not ended can be ended in the new store."""
    assert list(await store.log.open_runs()) == [OPEN]
    last = LOGS[OPEN][-1]
    end = Event(last.seq + 1, last.ts, "", t.NO_AGENT, t.RunFailed("server_error", "no"))
    await store.log.append(OPEN, frame([end]), expected=last.seq, attempt=3)
    assert (await everything(store, OPEN))[-1] == end
    await store.log.drop([OPEN])


BROKEN: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "empty": (lambda _: [], "line 1: the end is missing"),
    "cut": (lambda lines: lines[:-1], "line {end}: the end is missing"),
    "cut in a line": (lambda lines: [*lines[:2], lines[2][:9]], "line 3: Input data was truncated"),
    "not ours": (lambda _: [b'{"a":1}'], "line 1: Object missing required field `type`"),
    "no start": (lambda lines: lines[1:], "line 1: the first line, and no other, says the format"),
    "two": (
        lambda lines: [*lines[:2], *lines],
        "line 3: the first line, and no other, says the format",
    ),
    "newer": (
        lambda lines: [b'{"type":"start","format":9,"schema":1}', *lines[1:]],
        "line 1: the format is 9",
    ),
    "schema": (
        lambda lines: [b'{"type":"start","format":1,"schema":7}', *lines[1:]],
        "line {events}: schema 7 is not known",
    ),
    "missing": (lambda lines: [*lines[:1], *lines[2:]], "line {last}: .*announced"),
    "behind": (
        lambda lines: [*lines, lines[1]],
        "line {behind}: unexpected data after the end record",
    ),
    "events missing": (
        lambda lines: without(lines, b'"run":"%s"' % LONG.encode()),
        "line {long}: event [0-9]+ follows -1",
    ),
    "illegal": (
        lambda lines: [
            line.replace(b'"type":"run.started"', b'"type":"run.waiting"') for line in lines
        ],
        "line {events}: ",
    ),
    "a name": (
        lambda lines: [line.replace(ENDED.encode(), b"a.b") for line in lines],
        "line {ended}: 'a.b' is a duplicate, or not a run's name",
    ),
}


def without(lines: Lines, what: bytes) -> Lines:
    """All lines but the first line of events that has this text."""
    place = next(
        number for number, line in enumerate(lines) if what in line and b'"events"' in line
    )
    return [*lines[:place], *lines[place + 1 :]]


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_is_refused_whole(name: str, lines: Lines, tmp_path: Path) -> None:
    change, said = BROKEN[name]

    def place(what: bytes) -> int:
        return next(n for n, line in enumerate(lines, 1) if line.startswith(what))

    at = {
        "end": len(lines),
        "last": len(lines) - 1,
        "behind": len(lines) + 1,
        "events": place(b'{"type":"events"'),
        "ended": place(b'{"type":"events","run":"%s"' % ENDED.encode()),
        "long": place(b'{"type":"events","run":"%s"' % LONG.encode()),
    }
    async with opened("memory", tmp_path, ()) as other:
        with pytest.raises(Broken, match=said.format(**at)):
            await transfer.import_(other, lambda: change(lines))
        assert await exported(other) == ([lines[0], transfer_end(0, 0)], TransferCounts())


def transfer_end(records: int, events: int) -> bytes:
    return msgspec.json.encode({"type": "end", "records": records, "events": events}) + b"\n"
