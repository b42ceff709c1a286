"""One changed bit anywhere in a data file: a read returns the written data, or it is refused.

It never returns other data, and never raises an error that is not the store's own. The file holds every
kind of content: runs of one chunk and of many, sealed and open, tails that are in segments only,
tombstones, records. Bits are flipped at random places of the whole file, in the heads of its pages, and in
every column of every table.
"""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tailrace.errors import Damaged, Fenced, LogError
from tailrace.events import types as t
from tailrace.events.types import Event
from tailrace.log.contract import Record
from tailrace.log.stores.sqlite import sums
from tailrace.log.stores.sqlite.schema import FILE
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.log_contract import append
from tests.log.stores.sqlite.test_upkeep import crash_image, deltas, opened

SEED = 20_26
FLIPS = 250
PAGE, HEAD = 4_096, 120
"""Bytes of a page, and the first of them, which hold the places of its rows."""
END = t.RunCompleted()
BUCKET = "runs"


def ended(count: int) -> list[Event]:
    """A run of this many events."""
    return [*deltas(0, count - 1), Event(count - 1, 1, "", "", END)]


LOGS = {
    "short": ended(9),
    "large": ended(500),
    "open": deltas(0, 40),
    "openlarge": deltas(0, 700),
    "justended": ended(30),
}
RECORDS = {f"key{n:02}": b'{"v":1,"n":%d}' % n for n in range(40)}
Read = dict[str, list[Event] | None]
"""The events that were read of each run; None for a refused one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a crash leaves it: in one file, without a write-ahead log."""
    import asyncio

    base = tmp_path_factory.mktemp("damage")

    async def fill() -> None:
        store = await opened(base / "data")
        for run in ("short", "large"):
            await _write(store, run)
        await store.close()
        store = await opened(base / "data")
        for key, value in RECORDS.items():
            await store.records.put(BUCKET, key, value, expires=int(key[3:]))
        await append(store, "gone", ended(5))
        await store.log.drop(["gone"])
        for run in ("openlarge", "open", "justended"):
            await _write(store, run)
        crash_image(base / "data", base / "image")
        await store.close()

    asyncio.run(fill())
    with closing(sqlite3.connect(base / "image" / FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(base / "image" / FILE)) as connection:
        for table in ("segments", "chunks", "live", "dropped", "records"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,), table
    return base / "image"


async def _write(store: SqliteStore, run: str) -> None:
    for start in range(0, len(LOGS[run]), 20):
        await append(store, run, LOGS[run][start : start + 20])


async def look(folder: Path) -> tuple[Read, dict[str, Record | None]]:
    """All content that a store in the folder shows. Raises `LogError` if the store does not open."""
    store = await opened(folder)
    try:
        runs: Read = {}
        for run in LOGS:
            try:
                events: list[Event] = []
                while found := await store.log.read(run, len(events) - 1):
                    events += found
                runs[run] = events
            except LogError:
                runs[run] = None
        records: dict[str, Record | None] = {}
        for key in RECORDS:
            try:
                records[key] = await store.records.get(BUCKET, key)
            except LogError:
                records[key] = None
        listed = await _listed(store)
        assert all(RECORDS[record.key] == record.value for record in listed)
        for run in await _open(store):
            assert run in LOGS
        await _still_works(store)
        return runs, records
    finally:
        await store.close()


async def _listed(store: SqliteStore) -> list[Record]:
    try:
        scanned = await store.records.scan(BUCKET)
        due = await store.records.due(BUCKET, 1_000)
    except LogError:
        return []
    return [*scanned, *due]


async def _open(store: SqliteStore) -> list[str]:
    return [run for run in await store.log.open_runs() if run in LOGS]


async def _still_works(store: SqliteStore) -> None:
    """A new run is written and read, or refused with an error of the store."""
    try:
        await append(store, "new", ended(4))
        assert await store.log.read("new", -1) == ended(4)
    except LogError:
        pass


@contextmanager
def flipped(folder: Path, offset: int, bit: int, into: Path) -> Iterator[Path]:
    """A copy with one bit changed."""
    shutil.copytree(folder, into)
    with (into / FILE).open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))
    try:
        yield into
    finally:
        shutil.rmtree(into)


async def outcome(folder: Path) -> str:
    """The outcome of one read of everything, as a word; asserts that it shows only what was written."""
    try:
        runs, records = await look(folder)
    except LogError as error:
        return f"does not start: {error}"[:14]
    for run, events in runs.items():
        assert events in (None, LOGS[run]), f"{run} is changed: {len(events or ())} events"
    for key, record in records.items():
        assert record is None or record.value == RECORDS[key]
        assert record is None or (record.revision, record.expires) == (1, int(key[3:]))
    refused = [run for run, events in runs.items() if events is None]
    hidden = [key for key, record in records.items() if record is None]
    return "refused" if refused or hidden else "as before"


async def test_any_flipped_bit_changes_nothing_that_is_read(folder: Path, tmp_path: Path) -> None:
    logging.disable(logging.ERROR)  # some hundred lines
    chance = random.Random(SEED)
    size = (folder / FILE).stat().st_size
    seen: dict[str, int] = {}
    try:
        for number in range(FLIPS):
            offset, bit = chance.randrange(size), chance.randrange(8)
            if number % 2:
                offset = offset // PAGE * PAGE + chance.randrange(HEAD)
            with flipped(folder, offset, bit, tmp_path / str(number)) as damaged:
                try:
                    word = await outcome(damaged)
                except BaseException as error:
                    error.add_note(f"bit {bit} of byte {offset}")
                    raise
                seen[word] = seen.get(word, 0) + 1
    finally:
        logging.disable(logging.NOTSET)
    assert seen["refused"] > FLIPS // 10
    assert seen["as before"] > FLIPS // 10


COLUMNS = {
    "segments": ("id", "heads", "frames", "again"),
    "chunks": ("run", "first", "last", "schema", "body", "ends", "sum"),
    "live": ("run", "attempt", "last", "sum"),
    "dropped": ("run", "segment", "sum"),
    "records": ("bucket", "key", "revision", "value", "expires", "sum"),
}


KEYS = {
    "segments": "id",
    "chunks": "rowid",
    "live": "run",
    "dropped": "run",
    "records": "bucket, key",
}


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, names in COLUMNS.items() for column in names]
)
async def test_a_changed_value_of_any_column_is_refused_or_without_effect(
    folder: Path, tmp_path: Path, table: str, column: str
) -> None:
    chance = random.Random(f"{table}.{column}")
    keys = KEYS[table]
    for number in range(6):
        damaged = tmp_path / str(number)
        shutil.copytree(folder, damaged)
        with closing(sqlite3.connect(damaged / FILE, isolation_level=None)) as connection:
            rows = connection.execute(f"SELECT {column}, {keys} FROM {table}").fetchall()
            value, *key = chance.choice(rows)
            places = ", ".join("?" * len(key))
            try:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE ({keys}) = ({places})",
                    (_changed(value, chance), *key),
                )
            except sqlite3.IntegrityError:
                continue  # another row has that key
        await outcome(damaged)


def _changed(value: object, chance: random.Random) -> object:
    match value:
        case int():
            return value ^ 1 << chance.randrange(40)
        case str():
            place = chance.randrange(len(value))
            letter = chr(ord(value[place]) ^ 1 << chance.randrange(7))
            return value[:place] + letter + value[place + 1 :]
        case bytes() if value:
            place = chance.randrange(len(value))
            byte = bytes([value[place] ^ 1 << chance.randrange(8)])
            return value[:place] + byte + value[place + 1 :]
        case _:
            return b"\xff"


async def test_the_log_reports_the_damage_once(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "data"
    shutil.copytree(folder, damaged)
    with closing(sqlite3.connect(damaged / FILE, isolation_level=None)) as connection:
        other = "CAST(replace(body, 'MAIN', 'MEIN') AS BLOB)"
        connection.execute(f"UPDATE chunks SET body = {other} WHERE run = 'large' AND first = 96")
    sums.say.cache_clear()
    store = await opened(damaged)
    for _ in range(3):
        with pytest.raises(Damaged, match="run_large"):
            await store.log.read("large", 95)
    assert await store.log.read("large", -1) == LOGS["large"][:96]
    await store.close()
    (line,) = [each for each in caplog.messages if "of run large" in each]
    assert line.startswith("tailrace.db: table chunks, row")


async def test_a_damaged_frame_of_an_open_run_stays_damaged_when_it_becomes_a_chunk(
    folder: Path, tmp_path: Path
) -> None:
    """The upkeep must not write a sum for wrong bytes."""
    damaged = tmp_path / "data"
    shutil.copytree(folder, damaged)
    with closing(sqlite3.connect(damaged / FILE, isolation_level=None)) as connection:
        for number, frames in connection.execute("SELECT id, frames FROM segments").fetchall():
            row = (frames.replace(b"MAIN", b"MEIN", 1), number)
            connection.execute("UPDATE segments SET frames = ? WHERE id = ?", row)
    for _ in range(2):
        store = await opened(damaged)
        with pytest.raises(Damaged, match="run_justended"):
            await _everything(store, "justended")
        with pytest.raises(Fenced):
            await append(store, "justended", ended(5))
        await store.close()
    with closing(sqlite3.connect(damaged / FILE)) as connection:
        sums = connection.execute("SELECT sum FROM chunks WHERE run = 'justended'").fetchall()
    assert (-1,) in sums


async def _everything(store: SqliteStore, run: str) -> list[Event]:
    events: list[Event] = []
    while found := await store.log.read(run, len(events) - 1):
        events += found
    return events


async def test_a_damaged_record_hides_no_other(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "data"
    shutil.copytree(folder, damaged)
    with closing(sqlite3.connect(damaged / FILE, isolation_level=None)) as connection:
        connection.execute("UPDATE records SET value = x'00' WHERE key < 'key30'")
    store = await opened(damaged)
    with pytest.raises(Damaged, match="run_key07"):
        await store.records.get(BUCKET, "key07")
    assert [record.key for record in await store.records.scan(BUCKET, limit=3)] == [
        "key30",
        "key31",
        "key32",
    ]
    assert [record.key for record in await store.records.due(BUCKET, 31)] == ["key30", "key31"]
    await store.records.put(BUCKET, "key07", b"new")
    assert (await store.records.get(BUCKET, "key07")) == Record("key07", b"new", 2)
    await store.close()


def test_foreign_judges_find_the_folder_whole(folder: Path) -> None:
    """SQLite's own check, of rows against indexes too."""
    with closing(sqlite3.connect(folder / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_search_that_ends_at_another_record_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    """Observed: with one changed bit in a page's table of cells, a read of `key04` returned the complete
    record of `key10`."""
    size = (folder / FILE).stat().st_size
    for page in range(1, size // PAGE):
        for bit in (8, 9, 10):  # a place moves by 256, 512, 1,024 bytes
            offset = page * PAGE + 8 + 2 * 3
            with flipped(folder, offset, bit - 8, tmp_path / f"{page}-{bit}") as damaged:
                await outcome(damaged)
