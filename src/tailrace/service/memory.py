"""Memory of large bodies goes back to the system when they are gone.

glibc raises the size from which it asks the system for a block of its own, up to 32 MiB, each time such a
block is freed (mallopt(3), M_MMAP_THRESHOLD). After some large bodies the next ones lie in the heap, between
small things that stay, and what they leave is neither used nor given back: measured, 60 to 90 MB after 400 to
2,000 bodies of 1 MB. A size that was set stays.

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


def give_back() -> None:
    """Let each large block be given back when it is freed, where the C library has a word in that."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others give back by themselves
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, OWN_BLOCK_BYTES)


class CycleCollector:
    """Frees reference cycles after every `COLLECT_BYTES` bytes of bodies, streams and documents."""

    def __init__(self) -> None:
        self._bytes = 0

    def count(self, size: int) -> None:
        """Add the bytes of a body that came, of a stream that ended, of a log that is made a document."""
        self._bytes += size
        if self._bytes >= COLLECT_BYTES:
            self._bytes = 0
            gc.collect()


collector = CycleCollector()
"""Of this process, as Python's is."""
