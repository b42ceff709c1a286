"""A process's part in a cluster: its name, by which the others ask whether it is there and what it is about
to do."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from tailrace.errors import LogError
from tailrace.log.work import Work

YES, NO = b"yes", b"no"


class Membership:
    """This process among others over one engine, which need not be open yet; whether it `works` on runs."""

    def __init__(self, engine: Callable[[], Work], *, works: bool) -> None:
        self.engine = engine
        self.works = works
        self.name = secrets.token_hex(8)

    async def join(self, begins: Callable[[str], bool]) -> None:
        """Answer to this process's name; `begins` says whether it is writing the start of a run. Raises
        `LogError`."""

        async def respond(run: bytes) -> bytes:
            return YES if not run or begins(run.decode()) else NO

        await self.engine().answer(_name(self.name), respond)

    async def lives(self, name: str) -> bool:
        """Whether there is a process of this name; yes, while that cannot be told."""
        return await self._says(name, b"")

    async def begins(self, name: str, run: str) -> bool:
        """Whether a process is writing the start of a run; yes, while that cannot be told."""
        return await self._says(name, run.encode())

    async def _says(self, name: str, about: bytes) -> bool:
        work = self.engine()
        try:
            return await work.call(_name(name), about, work.lease) == YES
        except LogError:
            return True


def _name(process: str) -> str:
    """What a process answers to."""
    return f"process.{process}"
