"""The SQLite file: its tables, its settings, and how an older file becomes a newer one.

`segments` is where runs are written: one row per commit, holding the frames of every run in that commit,
in arrival order (`segments.py`). A key per run would scatter the writes; measured, it doubles the cost
of the whole server. `chunks` holds what needs no segment any more: the older part of live runs, and whole
ended runs. A run with chunks and without a row in `live` has ended. `dropped` names runs whose frames may
still lie in segments up to `segment`. Every row has a checksum of its keys and values (`sums.py`); one
without it was written by version 1. There is no `auto_vacuum`: it moves pages in every commit that frees some
(https://sqlite.org/pragma.html#pragma_auto_vacuum), and freed pages are reused by the next segments.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from tailrace.errors import LogError
from tailrace.log import private
from tailrace.log.stores.sqlite import sums

logger = logging.getLogger("tailrace.log")

FILE = "tailrace.db"
LOCK = "lock"
FILES = (FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", LOCK)
"""The names of all files of a data folder."""

MIGRATIONS = (
    """
    CREATE TABLE segments (id INTEGER PRIMARY KEY, frames BLOB NOT NULL);
    CREATE TABLE chunks (
        run TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        schema INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX chunks_by_run ON chunks (run, first);
    CREATE TABLE live (
        run TEXT PRIMARY KEY, attempt INTEGER NOT NULL, last INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE dropped (run TEXT PRIMARY KEY, segment INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE records (
        bucket TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL,
        value BLOB NOT NULL, expires INTEGER NOT NULL, PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID;
    CREATE INDEX records_due ON records (bucket, expires) WHERE expires > 0;
    """,
    # Logs are not rewritten: a file of gigabytes opens at once. Keys that clients gave belonged to a tenant
    # once, and belong to one of its users now: to none, as these were.
    """
    ALTER TABLE segments RENAME TO segments_1;
    CREATE TABLE segments (
        id INTEGER PRIMARY KEY, heads BLOB NOT NULL, frames BLOB NOT NULL, again BLOB NOT NULL
    );
    ALTER TABLE chunks ADD COLUMN ends INTEGER;
    ALTER TABLE chunks ADD COLUMN sum INTEGER;
    ALTER TABLE live ADD COLUMN sum INTEGER;
    ALTER TABLE dropped ADD COLUMN sum INTEGER;
    ALTER TABLE records ADD COLUMN sum INTEGER;
    UPDATE OR REPLACE records
        SET key = substr(key, 1, length(key) - 65) || char(31) || substr(key, -65)
        WHERE bucket IN ('idempotency', 'retries') AND instr(key, char(31)) = 0;
    """,
)
"""Step n takes a file from `user_version` n to n + 1. Never edited once released, only added to."""


def make_private(folder: Path) -> None:
    """Make the folder and the file if they do not exist, and remove rights of others. SQLite gives the
    files beside it the mode of the database. Raises `OSError`."""
    private.make_folder(folder)
    os.close(private.open_file(folder / FILE, os.O_RDWR | os.O_CREAT))
    for sentence in private.narrow(folder, FILES):
        logger.warning("%s", sentence)


_FIRST = f"""
    {next(each for each in MIGRATIONS[0].split(";") if "TABLE live" in each)};
    {next(each for each in MIGRATIONS[0].split(";") if "TABLE dropped" in each)};
    INSERT INTO live SELECT run, 0, max(last) FROM chunks
        WHERE run NOT IN (SELECT run FROM ended) GROUP BY run;
    DROP TABLE ended;
    """
"""From the layout of the first week, which also had version 1 and named the runs that had ended."""


def connect(folder: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with the settings that every connection needs.

    `synchronous` is a setting of the connection; FULL with group commit costs nothing measurable and
    survives power loss. Checkpoints run elsewhere, never inside a commit.
    """
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{(folder / FILE).absolute().as_uri()}?mode={mode}",
        isolation_level=None,
        check_same_thread=False,
        timeout=10,
        uri=True,
    )
    connection.text_factory = _text
    connection.create_function("sum_of", 5, sums.record, deterministic=True)
    connection.execute("PRAGMA cell_size_check = ON")  # a damaged page is an error sooner
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Upgrade the file to the newest version. Raises `LogError` for one that is newer than this program, or
    whose tables are not ours."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise LogError(f"the data was written by a newer tailrace (file version {version})")
    if version == 1 and "ended" in [name for _, name, *_ in _tables(connection)]:
        connection.executescript(f"BEGIN IMMEDIATE;{_FIRST};COMMIT")
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE;{MIGRATIONS[number]};PRAGMA user_version = {number + 1};COMMIT"
        )
    if _tables(connection) != _expected():
        raise LogError("the tables of the data file are not those of tailrace: it is damaged")


def _expected() -> list[tuple[str, ...]]:
    """The schema of the newest version."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(";".join(MIGRATIONS))
        return _tables(connection)
    finally:
        connection.close()


def _tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'"
    rows = connection.execute(query).fetchall()
    return sorted((*map(str, row[:3]), str(row[3]).replace('"', "")) for row in rows)


def _text(text: bytes) -> str:
    """Decode a key. A damaged one need not be UTF-8: the check of its sum reports it, not the reader of
    rows."""
    return text.decode("utf-8", "surrogateescape")
