"""The resources that the server uses, sampled from outside: memory, descriptors, threads, disk, lag."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import aiohttp
from msgspec import Struct

from tests.adversary.server import Victim

EVERY_SECONDS = 0.25


class Sample(Struct, frozen=True):
    """The resources at one moment. Sizes are in bytes."""

    memory: int
    descriptors: int
    threads: int
    disk: int
    lag_ms: int


class Probe:
    """Samples a server until it is stopped."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self.samples: list[Sample] = []

    async def go_on(self, stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                with suppress(
                    OSError, aiohttp.ClientError, AssertionError
                ):  # the server is dead at this moment
                    self.samples.append(await self.sample(session))
                await asyncio.sleep(EVERY_SECONDS)

    async def sample(self, session: aiohttp.ClientSession) -> Sample:
        """Sample the live process. Raises `OSError` and `aiohttp.ClientError`."""
        timeout = aiohttp.ClientTimeout(total=20)
        async with session.get(f"{self._victim.child.url}/healthz", timeout=timeout) as reply:
            lag = (await reply.json())["loop_lag_ms"]
        place = Path(f"/proc/{self._victim.pid}")
        lines = (place / "status").read_text(encoding="ascii").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return Sample(
            memory=int(told["VmRSS"].split()[0]) * 1024,
            descriptors=len(os.listdir(place / "fd")),
            threads=int(told["Threads"]),
            disk=sum(file.stat().st_size for file in self._victim.data.iterdir()),
            lag_ms=lag,
        )

    def most(self) -> Sample:
        """The maximum of each value."""
        return Sample(
            **{
                name: max((getattr(each, name) for each in self.samples), default=0)
                for name in Sample.__struct_fields__
            }
        )


def tables(data: Path) -> dict[str, int]:
    """The number of rows of each table, of all databases of a folder."""
    rows: dict[str, int] = {}
    for file in data.glob("*.db"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in names.fetchall():
                (count,) = database.execute(f'SELECT count(*) FROM "{name}"').fetchone()
                rows[f"{file.stem}.{name}"] = count
    return rows
