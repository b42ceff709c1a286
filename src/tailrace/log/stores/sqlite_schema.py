"""The SQLite file: its tables, its settings, and how an older file becomes a newer one.

`segments` is where runs are written: one row per commit, holding the frames of every run in that commit,
in arrival order. A key per run would scatter the writes; measured, it doubles the cost of the whole
server. `chunks` holds what needs no segment any more: the older part of live runs, and whole ended runs.
A run with chunks and without a row in `live` has ended. `dropped` names runs whose frames may still lie
in segments up to `segment`. Why there is no `auto_vacuum`: docs/adr/0002-sqlite-log.md.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tailrace.errors import LogError

FILE = "tailrace.db"

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
)
"""Step n takes a file from `user_version` n to n + 1. Never edited once released, only added to."""


def connect(folder: Path) -> sqlite3.Connection:
    """A connection with the settings every connection needs.

    `synchronous` is a connection's own setting; FULL with group commit costs nothing measurable and
    survives power loss. Checkpoints run elsewhere, never inside a commit.
    """
    connection = sqlite3.connect(
        folder / FILE, isolation_level=None, check_same_thread=False, timeout=10
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest version. Raises `LogError` for one that is newer than we are."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise LogError(f"the data was written by a newer tailrace (file version {version})")
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE;{MIGRATIONS[number]};PRAGMA user_version = {number + 1};COMMIT"
        )
