"""Checksums of the SQLite file's rows, and the errors of a mismatch.

CRC-32 of zlib: it detects any changed bit, and any burst of up to 32, for certain, and everything else
except in one case of four thousand million; it costs 0.3 microseconds a frame. It is not a signature: a
program that can write to the file can write checksums. A checksum covers the keys and numbers of a row as
well as its bytes.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from zlib import crc32

from tailrace.errors import Damaged
from tailrace.events import ids

logger = logging.getLogger("tailrace.log")

NEVER = -1
"""The checksum of a row that is known to be damaged: no bytes have it."""
PLACES = 4_096
"""Maximum number of damaged places that were logged and are not logged again."""


def row(*values: object, body: bytes = b"") -> int:
    """The checksum of a row: of its keys and numbers, then of its bytes."""
    about = "\0".join(map(str, values)).encode("utf-8", "surrogateescape")
    return crc32(body, crc32(about))


def record(bucket: object, key: object, revision: object, expires: object, value: object) -> int:
    """The checksum of a record; also as the SQL function `sum_of`."""
    if not isinstance(value, bytes):
        return NEVER
    return row(bucket, key, revision, expires, body=value)


def fits(sum: object, actual: int) -> bool:
    """Whether the content of a row matches its checksum; one without a checksum is of version 1."""
    return sum is None or sum == actual


def report_damage(table: str, where: str, run: str = "") -> Damaged:
    """The error for a damaged place; it is logged once, with the place."""
    say(table, where, run)
    if run:
        return Damaged(f"The log of {ids.run_id(run)} is damaged on disk.")
    return Damaged("A record is damaged on disk.")


@lru_cache(maxsize=PLACES)
def say(table: str, where: str, run: str) -> None:
    """Log a damaged place, once."""
    name = f" of run {run}" if run else ""
    logger.error("tailrace.db: table %s, %s%s is damaged: it is refused", table, where, name)
