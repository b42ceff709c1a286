"""The settings of a process for its runs: durations and limits."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tailrace.runs.bounded import RunBounds

HOUR = 3_600_000

Role = Literal["all", "api", "worker"]
"""The role of a process in a cluster: it accepts requests, works on runs, or both."""


class RunSettings(Struct, frozen=True, kw_only=True):
    """Times and limits of runs. Seconds where the name says so, else milliseconds.

    `retention_ms` after the end of a run (R26: 24 h), `kept_unstored` for `store: false` (long enough to
    resume a dropped connection), `tombstone` for the memory that a run existed, `waiting` for how long a run
    waits for an answer. `longest_seconds` of work, from its start or its last answer. `grace` per surface:
    what a run does when its last reader leaves; a run of another surface continues. A run fails after
    `stuck_attempts` in a row without progress, or `attempts` in all: it may be the cause of the crashes. So
    its last attempt starts alone, and others start after it made progress or after `alone_seconds` (less, if
    many wait). An agent that ignores its cancellation for `cancel_seconds` is abandoned; one whose code
    blocks the event loop for `block_seconds` is interrupted, and its run fails. Every `look` the server
    checks that runs in progress have a worker. `bounds` are a run's size. A process works on `most_runs` at
    once, 0 for any number.
    """

    retention_ms: int = 24 * HOUR
    kept_unstored: int = HOUR // 6
    tombstone: int = 7 * 24 * HOUR
    waiting: int = 7 * 24 * HOUR
    look: int = HOUR // 6
    longest_seconds: float = 24 * 3600
    attempts: int = 20
    stuck_attempts: int = 3
    alone_seconds: float = 10.0
    grace: dict[str, float] = {}
    idempotency: int = 24 * HOUR
    retry_window: int = HOUR // 6
    shutdown_seconds: float = 10.0
    cancel_seconds: float = 10.0
    sweep_seconds: float = 60.0
    bounds: RunBounds = RunBounds()
    most_runs: int = 10_000
    block_seconds: float = 10.0
