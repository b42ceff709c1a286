"""The faults, as a table: each acts on a part of the system, undoes that, and then returns."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tests.soak.audit import Auditor
from tests.soak.clients import Customer, Reader
from tests.soak.lab import LEASE, Lab, freeze, wake
from tests.support.nats_servers import Node
from tests.support.servers import ChildServer

CUT_SECONDS = 3.0
ELECTED_SECONDS = 9.5
"""By then the others have elected another leader: it takes 4 to 9 s."""
SKEWED_SECONDS = 5.0
SKEWS = (-30 * 86_400, -7_200, -3_000, -300, 300, 3_000, 7_200, 30 * 86_400)
"""Seconds that a clock is ahead."""
QUORUM_SECONDS = 8.0
"""Long enough for a process to leave a server that was cut off (6 s), and to read the events that it
missed."""


class Scene(NamedTuple):
    """The objects that a fault acts on."""

    lab: Lab
    client: Client
    layout: Layout
    customers: list[Customer]
    chance: random.Random
    auditor: Auditor
    servers: asyncio.Lock
    """Held while servers die, or must not die."""

    async def leader(self) -> Node:
        """The leader of the runs' first shard, as soon as every replica of every stream is online and
        current."""
        while True:
            abouts = [await self._about(str(each["name"])) for each in self.layout.streams()]
            if all(_whole(about) for about in abouts):
                name = abouts[0]["leader"]
                return next(node for node in self.lab.nodes if node.name == name)
            await asyncio.sleep(0.2)

    async def other(self) -> Node:
        """A NATS server that is not that leader."""
        leader = await self.leader()
        return self.chance.choice([node for node in self.lab.nodes if node is not leader])

    async def _about(self, stream: str) -> dict[str, Any]:
        answer = await self.client.insist(lambda: self.client.ask(f"STREAM.INFO.{stream}"))
        about: dict[str, Any] = answer["cluster"]
        return about

    def reading(self) -> list[Reader]:
        """A client with an open stream."""
        now = [one.now for one in self.customers if one.now is not None]
        return [reader for run in now for reader in run.readers if reader.reading]

    def native(self) -> list[Reader]:
        """All readers so far of the native surface."""
        return [run.readers[0] for one in self.customers for run in one.runs]


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
    """Two of three are cut off: readers get heartbeats, and nothing newer than the cut. Events from before
    may be shown late: the third can still be read."""
    async with scene.servers:
        moment, shown = await _without_quorum(scene)
    await scene.auditor.check(shown)
    await scene.auditor.stored_before(moment, shown)


async def _without_quorum(scene: Scene) -> tuple[float, dict[Reader, list[bytes]]]:
    """The moment at which the quorum was lost, and the frames that native readers received until it
    returned."""
    await scene.leader()
    while len(scene.reading()) < len(scene.customers):
        await asyncio.sleep(0.1)
    away = scene.chance.sample(list(scene.lab.nodes), 2)
    for node in away:
        await scene.lab.cut(node)
    moment = time.time()
    had = {reader: len(reader.frames) for reader in scene.native()}
    before = {reader: (reader.connections, reader.pings) for reader in scene.reading()}
    await asyncio.sleep(QUORUM_SECONDS)
    new = {reader: reader.frames[had.get(reader, 0) :] for reader in scene.native()}
    shown = {reader: frames for reader, frames in new.items() if frames}
    stayed = [each for each in scene.reading() if before.get(each, (0,))[0] == each.connections]
    silent = sum(reader.pings == before[reader][1] for reader in stayed)
    for node in away:
        await scene.lab.join(node)
    assert stayed
    assert not silent, f"{silent} of {len(stayed)} readers heard nothing"
    return moment, shown


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
    """Past its lease: others take its runs, and it must not write any event after it wakes
    (`Ledger.take`)."""
    child = scene.chance.choice(scene.lab.workers)
    freeze(child)
    await asyncio.sleep(LEASE + 1.0)
    wake(child)


async def restart_worker(scene: Scene) -> None:
    await scene.lab.restart(scene.chance.choice(scene.lab.workers))


async def restart_api(scene: Scene) -> None:
    async with scene.servers:
        await scene.lab.restart(scene.chance.choice(scene.lab.apis))


async def part_nodes(scene: Scene) -> None:
    """Two NATS servers no longer reach each other; both reach the third, and all processes reach them."""
    if not scene.lab.cables:
        return
    one, other = scene.chance.sample(list(scene.lab.nodes), 2)
    rooms, hosts = [scene.lab.room(each) for each in (one, other)], (other, one)
    for room, host in zip(rooms, hosts, strict=True):
        await room.mute(host.place.host)
    await asyncio.sleep(CUT_SECONDS)
    for room, host in zip(rooms, hosts, strict=True):
        await room.unmute(host.place.host)


async def mute_node(scene: Scene) -> None:
    """The packets of one NATS server do not reach another one; the packets in the other direction arrive."""
    if not scene.lab.cables:
        return
    one, other = scene.chance.sample(list(scene.lab.nodes), 2)
    await scene.lab.room(one).mute(other.place.host)
    await asyncio.sleep(ELECTED_SECONDS)
    await scene.lab.room(one).unmute(other.place.host)


async def cut_worker(scene: Scene) -> None:
    """A worker reaches no NATS server, past its lease: others take its runs."""
    await _cut_off(scene, scene.chance.choice(scene.lab.workers), LEASE + 2.0)


async def cut_api(scene: Scene) -> None:
    """A process that serves reaches no NATS server, and its clients reach it."""
    async with scene.servers:
        await _cut_off(scene, scene.chance.choice(scene.lab.apis), CUT_SECONDS)


async def _cut_off(scene: Scene, child: ChildServer, seconds: float) -> None:
    if not scene.lab.cables:
        return
    room = scene.lab.room(child)
    await room.pull()
    await asyncio.sleep(seconds)
    await room.plug()


async def mute_worker(scene: Scene) -> None:
    """The packets of a worker reach no NATS server; their packets arrive."""
    if not scene.lab.cables:
        return
    room = scene.lab.room(scene.chance.choice(scene.lab.workers))
    for node in scene.lab.nodes:
        await room.mute(node.place.host)
    await asyncio.sleep(LEASE + 2.0)
    for node in scene.lab.nodes:
        await room.unmute(node.place.host)


async def skew_worker(scene: Scene) -> None:
    """A worker's clock is wrong for a while: with a small error it continues to work, with a large one it
    must not."""
    child = scene.chance.choice(scene.lab.workers)
    await _skewed(scene, child, scene.chance.choice(SKEWS))


async def skew_api(scene: Scene) -> None:
    """The same for a process that serves: with a large error it starts no runs, and shows those of others."""
    async with scene.servers:
        await _skewed(scene, scene.chance.choice(scene.lab.apis), scene.chance.choice(SKEWS))


async def _skewed(scene: Scene, child: ChildServer, seconds: int) -> None:
    await scene.lab.skew(child, seconds)
    await asyncio.sleep(SKEWED_SECONDS)
    await scene.lab.skew(child, 0)


Fault = Callable[[Scene], Awaitable[None]]
Table = tuple[tuple[Fault, int], ...]

OF_NODES: Table = (
    (cut_node, 2),
    (kill_leader, 1),
    (kill_node, 2),
    (lose_quorum, 1),
    (cut_leader, 1),
)
CUTS_OF_NODES: Table = ((part_nodes, 2), (mute_node, 1))
"""With the number of each in one round."""
OF_WORKERS: Table = (
    (kill_worker, 7),
    (freeze_worker, 7),
    (restart_worker, 2),
)
CUTS_OF_WORKERS: Table = (
    (cut_worker, 2),
    (mute_worker, 1),
    (skew_worker, 3),
)
OF_SERVERS: Table = ((kill_api, 6), (restart_api, 2))
CUTS_OF_SERVERS: Table = ((cut_api, 2), (skew_api, 2))
LANES = (
    (OF_NODES, CUTS_OF_NODES),
    (OF_WORKERS, CUTS_OF_WORKERS),
    (OF_SERVERS, CUTS_OF_SERVERS),
)
"""The faults of each round, and those that are added to all rounds but the first."""


def rounds(table: Table, chance: random.Random) -> list[Fault]:
    """One round, shuffled."""
    faults = [fault for fault, times in table for _ in range(times)]
    chance.shuffle(faults)
    return faults
