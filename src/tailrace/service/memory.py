"""Memory of large bodies goes back to the system when they are freed.

glibc raises the size from which it asks the system for a block of its own, up to 32 MiB, each time such a
block is freed (mallopt(3), M_MMAP_THRESHOLD). After some large bodies the next ones lie in the heap, between
small objects that stay, and the gaps are neither used nor returned: measured, 60 to 90 MB after 400 to
2,000 bodies of 1 MB. A size that was set by a program does not change.

Python's cyclic collector runs after a number of allocations, whatever their size: a finished request with
its connection and encoders is a few hundred objects, and 1 MB where its body was.
`CycleCollector` counts bytes.
"""

from __future__ import annotations

import ctypes
import gc

M_MMAP_THRESHOLD = -3
OWN_BLOCK_BYTES = 262_144
COLLECT_BYTES = 16_000_000
"""Bytes between two collections. 40 ms each with 400,000 objects (measured)."""


def return_large_blocks() -> None:
    """Let the C library return each large block to the system when it is freed. Only glibc needs it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc alone
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, OWN_BLOCK_BYTES)


class CycleCollector:
    """Frees reference cycles after every `COLLECT_BYTES` bytes of bodies, streams and documents."""

    def __init__(self) -> None:
        self._bytes = 0

    def count(self, size: int) -> None:
        """Add the bytes of a request body, of a stream that ended, or of a log that becomes a document."""
        self._bytes += size
        if self._bytes >= COLLECT_BYTES:
            self._bytes = 0
            gc.collect()


collector = CycleCollector()
"""One for the process, as Python has one collector."""
