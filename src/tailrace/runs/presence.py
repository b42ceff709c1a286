"""Whether any process of a cluster has readers of a run: a process that has some answers to the run's name
for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from tailrace.errors import LogError
from tailrace.log.work import Work

CALL_SECONDS = 5.0


class _Readers:
    """Those of one run in this process."""

    def __init__(self) -> None:
        self.count = 0
        self.readers_left = asyncio.Event()


class Presence:
    """The readers that this process has, and a way to ask the others; `engine` need not be open yet."""

    def __init__(self, engine: Callable[[], Work]) -> None:
        self._engine = engine
        self._readers: dict[str, _Readers] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def reading(self, run: str) -> Generator[None, None, None]:
        """While it lasts, this process says that somebody reads the run."""
        readers = self._readers.get(run)
        if readers is None:
            readers = self._readers[run] = _Readers()
            task = asyncio.create_task(self._say(run, readers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        readers.count += 1
        try:
            yield
        finally:
            readers.count -= 1
            if not readers.count:
                readers.readers_left.set()
                del self._readers[run]

    async def is_read(self, run: str) -> bool:
        """Whether any process has a reader of the run; yes, when nobody can be asked."""
        if run in self._readers:
            return True
        try:
            return await self._engine().call(_name(run), b"", CALL_SECONDS) is not None
        except LogError:
            return True

    async def close(self) -> None:
        """Say nothing any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _say(self, run: str, readers: _Readers) -> None:
        with suppress(LogError):
            stop = await self._engine().answer(_name(run), _yes)
            try:
                await readers.readers_left.wait()
            finally:
                await stop()


async def _yes(_: bytes) -> bytes:
    return b"yes"


def _name(run: str) -> str:
    """The name that a process answers to while it has readers of a run."""
    return f"{run}.read"
