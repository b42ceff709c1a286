"""The load and its faults: `python -m tests.soak [SECONDS] [SEED]`; without seconds, one round of faults.

100 runs at a time and two readers of each, over a cluster of three NATS servers, two processes that serve
and three that work. Faults of NATS servers come one after the other, and beside them those of our processes.
After each fault all that was read is checked against the log; at the end every run has ended, and all is read
again.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from tailrace.log.stores.nats.client import Client
from tests.soak import faults
from tests.soak.audit import Auditor, effects_once
from tests.soak.clients import Customer, Run, Traffic
from tests.soak.faults import Fault, Scene, Table
from tests.soak.lab import INSIDE, Lab, permitted

RUNS = 100
BETWEEN_SECONDS = 0.3
END_SECONDS = 45.0
"""The time that the last runs have to end after the last fault."""


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.monotonic() - BEGUN:7.2f}  {text}", flush=True)  # noqa: T201 - it is a program


BEGUN = time.monotonic()


class Soak:
    """The load, its faults, and the findings."""

    def __init__(self, scene: Scene, traffic: Traffic, auditor: Auditor, seconds: float) -> None:
        self._scene = scene
        self._traffic = traffic
        self._auditor = auditor
        self._until = time.monotonic() + seconds
        self.done: Counter[str] = Counter()

    async def run(self) -> None:
        """Run everything. Raises `AssertionError` for a fault of the system."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            load = [tasks.create_task(each.go_on(stop)) for each in self._scene.customers]
            await self._all_read()
            say(f"{RUNS} runs and their readers are there")
            await asyncio.gather(*(self._lane(self._faults(*tables)) for tables in faults.LANES))
            stop.set()
            say(f"{self.done.total()} faults; the last runs end")
            await asyncio.wait(load, timeout=END_SECONDS)
            stuck = [one.now for one in self._scene.customers if one.now is not None]
            await self._auditor.check([reader for run in stuck for reader in run.readers])
            for run in stuck:
                say(await self._told(run))
            assert not stuck, "\n".join(map(self._auditor.tell, stuck))
        runs = [run for one in self._scene.customers for run in one.runs]
        await self._auditor.everything(runs)
        orders = effects_once(self._scene.lab.effects)
        assert not self._traffic.wrong, self._traffic.wrong[:10]
        readers = [reader for run in runs for reader in run.readers]
        say(f"{len(runs)} runs, {sum(len(r.frames) for r in readers)} frames, {orders} orders")
        say(f"connections of a reader: {sum(r.connections for r in readers) / len(readers):.2f}")
        say(f"attempts: {dict(sorted(self._auditor.attempts().items()))}")
        say(f"replies: {dict(self._traffic.said)}")
        say(f"faults: {dict(self.done)}")

    async def _told(self, run: Run) -> str:
        """Each server's document of a run that should have ended, and the pending requests of its clients."""
        async with httpx.AsyncClient(timeout=40) as client:
            said = [
                (await client.get(f"{each.url}/jobs/job_{run.id}")).text
                for each in self._scene.lab.apis
            ]
        asking = [path for path, count in self._traffic.asking.items() if count and run.id in path]
        return f"{run.id}: {said}; asked: {asking}; replies: {dict(self._traffic.said)}"

    def _faults(self, table: Table, more: Table) -> Iterator[Fault]:
        """One round, and longer ones until the time is over."""
        yield from faults.rounds(table, self._scene.chance)
        while True:
            for fault in faults.rounds(table + more, self._scene.chance):
                if time.monotonic() > self._until:
                    return
                yield fault

    async def _lane(self, lane: Iterator[Fault]) -> None:
        for fault in lane:
            begun = time.monotonic()
            await fault(self._scene)
            took, begun = time.monotonic() - begun, time.monotonic()
            self.done[fault.__name__] += 1
            now = [one.now for one in self._scene.customers if one.now is not None]
            frames = await self._auditor.check([reader for run in now for reader in run.readers])
            seconds = time.monotonic() - begun
            say(f"{fault.__name__:14} {took:5.1f} s; {frames} more frames right ({seconds:.2f} s)")
            await asyncio.sleep(BETWEEN_SECONDS)

    async def _all_read(self) -> None:
        while not all(
            one.now is not None and all(reader.frames for reader in one.now.readers)
            for one in self._scene.customers
        ):
            await asyncio.sleep(0.1)


async def soak(folder: Path, seconds: float, seed: str, *, cables: bool) -> None:
    """Start everything, and run it to the end."""
    chance = random.Random(seed)
    with ExitStack() as life:
        lab = Lab(folder, cables=cables)
        life.callback(lab.close)
        await lab.open()
        say("the cluster is up")
        client = Client([node.url for node in lab.nodes])
        await client.open()
        traffic = Traffic(lab.apis, chance)
        auditor = Auditor(client, lab.layout, traffic)
        customers = [Customer(traffic, number, auditor.whole) for number in range(RUNS)]
        scene = Scene(lab, client, lab.layout, customers, chance, auditor, asyncio.Lock())
        try:
            await Soak(scene, traffic, auditor, seconds).run()
        except BaseException:
            traceback.print_exc()  # before the end of processes that threads still wait for
            raise
        finally:
            await traffic.session.close()
            await client.close()


def main(arguments: Sequence[str]) -> None:
    """The program, in a network of its own if that is possible."""
    seconds, seed, inside, *_ = [*arguments, *("0", secrets.token_hex(4), "")[len(arguments) :]]
    if not inside and permitted():
        again = [sys.executable, "-m", "tests.soak", seconds, seed, "cables"]
        os.execvp(INSIDE[0], [*INSIDE, *again])
    say(f"seed {seed}; a server is cut off by {'its cable' if inside else 'SIGSTOP'}")
    folder = Path(tempfile.mkdtemp(prefix="tailrace-soak-"))
    say(f"what the processes say is in {folder}, and stays there when something is wrong")
    asyncio.run(soak(folder, float(seconds), seed, cables=bool(inside)))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
