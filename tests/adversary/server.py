"""The attacked server, and the code that kills it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.adversary import world
from tests.support import effects
from tests.support.forks import Forks
from tests.support.servers import ChildServer

TENANTS = ("north", "south")
LIFE_SECONDS = 0.45
"""The average duration of a life."""
STOP_SECONDS = 20.0
NO_STOP = "SIGTERM that did not end it"


class Victim:
    """The server: two tenants, one folder, many lives."""

    def __init__(self, folder: Path, wild: str, forks: Forks) -> None:
        self.effects = folder / "effects.txt"
        self.effects.touch()
        config = world.config(wild).replace("{", "{{").replace("}", "}}")
        self.child = ChildServer(
            folder, config=config, scenario=world.SCENARIO, tools=effects.tools(self.effects)
        )
        self._forks = forks
        self.tokens = {tenant: self._token(tenant) for tenant in TENANTS}

    @property
    def data(self) -> Path:
        return self.child.folder / "data"

    @property
    def pid(self) -> int:
        assert self.child.process is not None
        return self.child.process.pid

    def start(self, *, doomed: bool = False) -> None:
        """Start a new life. Raises `AssertionError` if the start fails and the life is not doomed."""
        self.child.start(forks=self._forks, doomed=doomed)

    def _token(self, tenant: str) -> str:
        source = str(self.child.folder / "tailrace.toml")
        command = ["token", "create", tenant, "--tenant", tenant, "--user", "ann", "--scope", "run"]
        done = subprocess.run(
            [sys.executable, "-m", "tailrace", *command, "--config", source],
            capture_output=True,
            text=True,
            check=True,
            cwd=self.child.folder,
        )
        return done.stdout.strip()


class Killer:
    """Kills the server at random moments, and checks that it starts again."""

    def __init__(self, victim: Victim, chance: random.Random) -> None:
        self._victim = victim
        self._chance = chance
        self.done: Counter[str] = Counter()

    async def kill(self) -> None:
        """End one life, and start the next one."""
        await asyncio.sleep(min(self._chance.expovariate(1 / LIFE_SECONDS), 4.0))
        if self._chance.random() < 0.12:
            await asyncio.to_thread(self._stop)
        else:
            await asyncio.to_thread(self._victim.child.kill)
            self.done["SIGKILL"] += 1
        while self._chance.random() < 0.2:
            await self._still_born()
        await asyncio.to_thread(self._victim.start)

    def _stop(self) -> None:
        """SIGTERM; the stop may take as long as docs/deploy.md allows."""
        process = self._victim.child.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_SECONDS)
            self.done["SIGTERM"] += 1
        except subprocess.TimeoutExpired:
            self.done[NO_STOP] += 1
        self._victim.child.kill()

    async def _still_born(self) -> None:
        """A life that ends before it has started, or just after."""
        self._victim.child.process = None
        begun = asyncio.create_task(asyncio.to_thread(self._victim.start, doomed=True))
        while self._victim.child.process is None:
            if begun.done():
                break  # `begun` raises the error that prevented the start
            await asyncio.sleep(0.001)
        await asyncio.sleep(self._chance.uniform(0.0, 0.12))
        with suppress(OSError):
            if self._victim.child.process is not None:
                self._victim.child.process.send_signal(signal.SIGKILL)
        await begun
        await asyncio.to_thread(self._victim.child.kill)
        self.done["SIGKILL while starting"] += 1
