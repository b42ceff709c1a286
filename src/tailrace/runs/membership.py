"""A process of a cluster among others: its name, by which others ask whether it lives and which run it is
starting (`Membership`), and which runs have readers in it (`Presence`)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from tailrace.errors import LogError
from tailrace.log.work import WorkQueue

YES, NO = b"yes", b"no"


class Membership:
    """This process among others over one engine, which need not be open yet; whether it `works` on runs."""

    def __init__(self, engine: Callable[[], WorkQueue], *, works: bool) -> None:
        self.engine = engine
        self.works = works
        self.name = secrets.token_hex(8)

    async def join(self, begins: Callable[[str], bool]) -> None:
        """Respond to this process's name; `begins` says whether it is writing the start of a run. Raises
        `LogError`."""

        async def respond(run: bytes) -> bytes:
            return YES if not run or begins(run.decode()) else NO

        await self.engine().answer(_process_name(self.name), respond)

    async def lives(self, name: str) -> bool:
        """Whether a process of this name exists; True while that is unknown."""
        return await self._says(name, b"")

    async def begins(self, name: str, run: str) -> bool:
        """Whether a process is writing the start of a run; True while that is unknown."""
        return await self._says(name, run.encode())

    async def _says(self, name: str, about: bytes) -> bool:
        work = self.engine()
        try:
            return await work.call(_process_name(name), about, work.lease) == YES
        except LogError:
            return True


def _process_name(process: str) -> str:
    """The name to which a process responds."""
    return f"process.{process}"


CALL_SECONDS = 5.0


class _Readers:
    """The number of readers of one run in this process."""

    def __init__(self) -> None:
        self.count = 0
        self.readers_left = asyncio.Event()


class Presence:
    """The readers of this process, and calls to the others; `engine` need not be open yet."""

    def __init__(self, engine: Callable[[], WorkQueue]) -> None:
        self._engine = engine
        self._readers: dict[str, _Readers] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def reading(self, run: str) -> Generator[None, None, None]:
        """In this context the process reports that it has a reader of the run."""
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
        """Whether any process has a reader of the run; True if no process can be reached."""
        if run in self._readers:
            return True
        try:
            return await self._engine().call(_reader_name(run), b"", CALL_SECONDS) is not None
        except LogError:
            return True

    async def close(self) -> None:
        """Stop responding."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _say(self, run: str, readers: _Readers) -> None:
        with suppress(LogError):
            stop = await self._engine().answer(_reader_name(run), _yes)
            try:
                await readers.readers_left.wait()
            finally:
                await stop()


async def _yes(_: bytes) -> bytes:
    return b"yes"


def _reader_name(run: str) -> str:
    """The name to which a process responds while it has readers of a run."""
    return f"{run}.read"
