"""The campaign: `python -m tests.adversary [--kills N] [--siege SECONDS] [--seconds MOST] [--seed SEED]`.

Rounds of kills while customers use all surfaces, with an audit after each round; then a siege with hostile
bytes, without kills, whose resources are bounded. The faults are printed with the seed, and the folder is
kept.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.adversary.audit import Auditor
from tests.adversary.customers import Customers
from tests.adversary.probes import Probe, Sample, tables
from tests.adversary.server import NO_STOP, TENANTS, Killer, Victim
from tests.adversary.siege import Pulse, Siege
from tests.adversary.wild import wild
from tests.adversary.wire import Wire
from tests.support.forks import forking

ROUND = 100
"""Kills of one round: then all customers finish, and everything they saw is compared."""
MOST_TOLD = 40
"""Faults: after this many the search stops."""
SETTLE_SECONDS = 6.0
MOST_MEMORY = 400_000_000
MORE_MEMORY = 64_000_000
"""The memory that may remain allocated after a siege."""
MORE_DESCRIPTORS = 8
MOST_LATENCY = 6.0
MOST_LAG_MS = 1_500
GIVEN_UP = 0.1
"""The share of runs that may end because their process died three times before they made progress."""
LINES_A_SECOND = 40
BEGUN = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.monotonic() - BEGUN:7.1f}  {text}", flush=True)  # noqa: T201 - it is a program


class Campaign:
    """The complete campaign; `wrong` has the faults."""

    def __init__(self, victim: Victim, seed: str, wires: dict[str, Wire]) -> None:
        self._victim = victim
        self._wires = wires
        self._customers = Customers(wires, random.Random(f"{seed} customers"))
        self._killer = Killer(victim, random.Random(f"{seed} kills"))
        self._siege = Siege(victim, random.Random(f"{seed} siege"))
        self._auditor = Auditor(wires, victim.effects)
        self._lives = Probe(victim)
        self.wrong: list[str] = []

    async def kills(self, number: int, until: float) -> None:
        """Rounds of kills until their number or the time limit is reached."""
        done = self._killer.done
        while done.total() < number and time.monotonic() < until and len(self.wrong) < MOST_TOLD:
            before = done.total()
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._customers.go_on(stop))
                tasks.create_task(self._siege.go_on(stop, 1))
                tasks.create_task(self._lives.go_on(stop))
                while done.total() < min(before + ROUND, number) and time.monotonic() < until:
                    await self._killer.kill()
                stop.set()
            await self._audit()
            say(f"{done.total()} kills; {dict(self._auditor.figures)}")

    async def siege(self, seconds: float) -> None:
        """Hostile bytes while other clients work, and the state that they leave."""
        await asyncio.to_thread(self._restart)
        await self._load(min(seconds, 10.0), 0)
        before = await self._quiet()
        lines = self._lines()
        probe, pulse = await self._load(seconds, 3)
        after = await self._quiet()
        await self._audit()
        took = sorted(pulse.seconds)
        say(f"siege: {dict(self._siege.said)}")
        say(
            f"who behaves: {len(took)} answers, median {took[len(took) // 2]:.3f} s, most {took[-1]:.3f} s"
        )
        say(f"before {before}, most {probe.most()}, after {after}")
        self.found(pulse.wrong)
        self._bound("latency", took[-1], MOST_LATENCY)
        self._bound("memory", probe.most().memory, MOST_MEMORY)
        self._bound("memory that is left", after.memory - before.memory, MORE_MEMORY)
        self._bound("descriptors left", after.descriptors - before.descriptors, MORE_DESCRIPTORS)
        self._bound("lag", probe.most().lag_ms, MOST_LAG_MS)
        self._bound("lines logged", self._lines() - lines, LINES_A_SECOND * seconds)

    def over(self) -> None:
        """Print the figures, and check all bounds."""
        errors = self._victim.child.errors()
        if "Traceback" in errors:
            self.found(["a traceback: " + errors[errors.index("Traceback") :][:3_000]])
        self.found(self._siege.wrong)
        figures = self._auditor.figures
        self._bound("runs given up", figures["runs given up"] / max(figures["runs"], 1), GIVEN_UP)
        self._bound("stops that did not end", self._killer.done[NO_STOP], 0)
        self._bound("memory of all lives", self._lives.most().memory, MOST_MEMORY)
        say(f"kills: {dict(self._killer.done)}")
        say(f"plays: {dict(self._customers.plays)}")
        say(f"replies: {dict(self._customers.said)}")
        say(f"most of all lives: {self._lives.most()}")
        say(f"tables: {tables(self._victim.data)}")
        say(f"figures: {dict(self._auditor.figures)}")

    async def _load(self, seconds: float, lanes: int) -> tuple[Probe, Pulse]:
        probe, pulse, stop = Probe(self._victim), Pulse(self._victim), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._customers.go_on(stop))
            tasks.create_task(self._siege.go_on(stop, lanes))
            tasks.create_task(probe.go_on(stop))
            tasks.create_task(pulse.go_on(stop))
            await asyncio.sleep(seconds)
            stop.set()
        return probe, pulse

    async def _quiet(self) -> Sample:
        await asyncio.sleep(SETTLE_SECONDS)
        async with aiohttp.ClientSession() as session:
            return await Probe(self._victim).sample(session)

    async def _audit(self) -> None:
        """The final state is read from disk, by a process that has just started."""
        await asyncio.to_thread(self._restart)
        stories, self._customers.stories = self._customers.stories, []
        await self._auditor.check(stories)
        for found in (
            self._customers.wrong,
            self._auditor.wrong,
            *(w.wrong for w in self._wires.values()),
        ):
            self.found(found)
            found.clear()

    def found(self, wrong: Sequence[str]) -> None:
        """Report faults at once."""
        for each in wrong[:MOST_TOLD]:
            say(f"FAULT {each}")
        self.wrong += wrong

    def _restart(self) -> None:
        self._victim.child.kill()
        self._victim.start()

    def _lines(self) -> int:
        return self._victim.child.errors().count("\n")

    def _bound(self, what: str, value: float, most: float) -> None:
        if value > most:
            self.found([f"{what}: {value:.4g} where {most:.4g} is the most"])


async def campaign(folder: Path, asked: argparse.Namespace) -> list[str]:
    """Start everything, and run the campaign to its end; returns the faults."""
    behaved: Counter[str] = Counter()
    async with AsyncExitStack() as life:
        forks = life.enter_context(forking())
        chance = random.Random(f"{asked.seed} wild")
        url = await life.enter_async_context(wild(chance, behaved))
        victim = Victim(folder, url, forks)
        life.callback(victim.child.kill)
        victim.start()
        said: Counter[str] = Counter()
        wires = {
            tenant: Wire(victim.child.url, victim.tokens[tenant], random.Random(tenant), said)
            for tenant in TENANTS
        }
        for wire in wires.values():
            life.push_async_callback(wire.close)
        made = Campaign(victim, asked.seed, wires)
        await made.kills(asked.kills, BEGUN + asked.seconds)
        if asked.siege:
            await made.siege(asked.siege)
        made.over()
        say(f"model server: {dict(behaved)}")
        return made.wrong


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversary", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--siege", type=float, default=60.0, help="seconds of hostile bytes")
    parser.add_argument(
        "--seconds", type=float, default=3_600.0, help="no more kills after so many"
    )
    parser.add_argument("--seed", default=secrets.token_hex(4))
    asked = parser.parse_args(arguments)
    say(f"seed {asked.seed}")
    folder = Path(tempfile.mkdtemp(prefix="tailrace-attack-"))
    wrong = asyncio.run(campaign(folder, asked))
    say(f"{len(wrong)} faults with seed {asked.seed}")
    if wrong:
        say(f"the server's folder is {folder}")
        raise SystemExit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
