"""The faults, as a table: what is done to whom, and how it is undone. Each returns when it is undone."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tests.soak.clients import Customer, Reader
from tests.soak.lab import LEASE, Lab, freeze, wake
from tests.support.nats_servers import Node

CUT_SECONDS = 3.0
ELECTED_SECONDS = 9.5
"""The others have elected another leader by then: it takes 4 to 9 s."""
QUORUM_SECONDS = 4.0
SETTLED_SECONDS = 1.5
"""After so long without a quorum nothing is on its way any more."""


class Scene(NamedTuple):
    """What a fault works on."""

    lab: Lab
    client: Client
    layout: Layout
    customers: list[Customer]
    chance: random.Random
    servers: asyncio.Lock
    """Held while servers die, or must not."""

    async def leader(self) -> Node:
        """Who leads the runs' first shard, once every replica of every stream is there and knows all."""
        while True:
            abouts = [await self._about(str(each["name"])) for each in self.layout.streams()]
            if all(_whole(about) for about in abouts):
                name = abouts[0]["leader"]
                return next(node for node in self.lab.nodes if node.name == name)
            await asyncio.sleep(0.2)

    async def other(self) -> Node:
        """A NATS server that does not lead it."""
        leader = await self.leader()
        return self.chance.choice([node for node in self.lab.nodes if node is not leader])

    async def _about(self, stream: str) -> dict[str, Any]:
        answer = await self.client.insist(lambda: self.client.ask(f"STREAM.INFO.{stream}"))
        about: dict[str, Any] = answer["cluster"]
        return about

    def reading(self) -> list[Reader]:
        """Who has a stream open."""
        now = [one.now for one in self.customers if one.now is not None]
        return [reader for run in now for reader in run.readers if reader.reading]


def _whole(about: dict[str, Any]) -> bool:
    replicas = about.get("replicas") or []
    return bool(about.get("leader")) and all(
        each["current"] and not each.get("offline") for each in replicas
    )


async def _killed(node: Node) -> None:
    node.send(signal.SIGKILL)
    await asyncio.to_thread(node.start)


async def kill_leader(scene: Scene) -> None:
    await _killed(await scene.leader())


async def kill_node(scene: Scene) -> None:
    await _killed(await scene.other())


async def cut_leader(scene: Scene) -> None:
    node = await scene.leader()
    await scene.lab.cut(node)
    await asyncio.sleep(ELECTED_SECONDS)
    await scene.lab.join(node)


async def cut_node(scene: Scene) -> None:
    node = await scene.other()
    await scene.lab.cut(node)
    await asyncio.sleep(CUT_SECONDS)
    await scene.lab.join(node)


async def lose_quorum(scene: Scene) -> None:
    """Two of three are cut off: who reads hears that we are still here."""
    async with scene.servers:
        await _without_quorum(scene)


async def _without_quorum(scene: Scene) -> None:
    await scene.leader()
    while len(scene.reading()) < len(scene.customers):
        await asyncio.sleep(0.1)
    away = scene.chance.sample(list(scene.lab.nodes), 2)
    for node in away:
        await scene.lab.cut(node)
    await asyncio.sleep(SETTLED_SECONDS)
    before = {reader: (len(reader.frames), reader.pings) for reader in scene.reading()}
    connections = {reader: reader.connections for reader in before}
    await asyncio.sleep(QUORUM_SECONDS)
    # Who came again meanwhile was shown what had been there.
    stayed = [each for each in scene.reading() if connections.get(each) == each.connections]
    # What was acknowledged before may be shown late; that it is the log's is checked after each fault.
    still = [reader for reader in stayed if len(reader.frames) == before[reader][0]]
    silent = sum(reader.pings == before[reader][1] for reader in still)
    for node in away:
        await scene.lab.join(node)
    assert still
    assert not silent, f"{silent} of {len(still)} readers heard nothing"


async def kill_worker(scene: Scene) -> None:
    child = scene.chance.choice(scene.lab.workers)
    await scene.lab.kill(child)
    await scene.lab.start(child)


async def kill_api(scene: Scene) -> None:
    async with scene.servers:
        child = scene.chance.choice(scene.lab.apis)
        await scene.lab.kill(child)
        await scene.lab.start(child)


async def freeze_worker(scene: Scene) -> None:
    """Past its lease: others take its runs, and it may not write one event when it wakes (`Ledger.take`)."""
    child = scene.chance.choice(scene.lab.workers)
    freeze(child)
    await asyncio.sleep(LEASE + 1.0)
    wake(child)


async def restart_worker(scene: Scene) -> None:
    await scene.lab.restart(scene.chance.choice(scene.lab.workers))


async def restart_api(scene: Scene) -> None:
    async with scene.servers:
        await scene.lab.restart(scene.chance.choice(scene.lab.apis))


Fault = Callable[[Scene], Awaitable[None]]

OF_NODES: tuple[tuple[Fault, int], ...] = (
    (cut_node, 2),
    (kill_leader, 1),
    (kill_node, 2),
    (lose_quorum, 1),
    (cut_leader, 1),
)
"""With how often each comes in one round."""
OF_WORKERS: tuple[tuple[Fault, int], ...] = (
    (kill_worker, 7),
    (freeze_worker, 7),
    (restart_worker, 2),
)
OF_SERVERS: tuple[tuple[Fault, int], ...] = ((kill_api, 6), (restart_api, 2))
LANES = (OF_NODES, OF_WORKERS, OF_SERVERS)


def rounds(table: tuple[tuple[Fault, int], ...], chance: random.Random) -> list[Fault]:
    """One round, shuffled."""
    faults = [fault for fault, times in table for _ in range(times)]
    chance.shuffle(faults)
    return faults
