"""The machines of the load: three NATS servers that can be cut off, processes that serve or work.

If the kernel permits it, each NATS server has a network of its own, and is cut off by the removal of its
cable: nothing is refused, nothing arrives. The program must then run in a network of its own (`INSIDE`), so
that it does not change the network of the machine. Otherwise a server that is cut off is frozen.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from tailrace.log.stores.nats.layout import Layout
from tests.soak import agents, rooms
from tests.soak.rooms import Room
from tests.support import clusters, effects, nats_stores
from tests.support.forks import Forks, forking
from tests.support.nats_servers import CLUSTER, Node, Place, Settings, cluster
from tests.support.servers import ChildServer

NODES = 3
PORTS = (4222, 6222, 8222)
"""The ports of a NATS server that has a network of its own: clients, routes, monitoring."""
INSIDE = ("unshare", "--map-root-user", "--net")
"""The command that gives a program a network of its own."""
LEASE = 2.0
STOP_SECONDS = 20.0
"""`shutdown_seconds`, ten for agents that ignore their cancellation, and some for a busy machine."""
IMPORTS = ("tailrace.log.stores.nats.store",)
"""The modules that our processes need in addition to those of all forks."""


def permitted() -> bool:
    """Whether this machine permits a program to have networks of its own, with cables between them."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    bridge = [*INSIDE, "ip", "link", "add", "br0", "type", "bridge"]
    return subprocess.run(bridge, capture_output=True, check=False).returncode == 0


PATIENT = "max_attempts = 20"
"""Machines die here faster than models reply: that alone may cut off three attempts in a row."""


class Lab:
    """All machines. `cables`: whether NATS servers have networks of their own."""

    def __init__(self, folder: Path, *, cables: bool) -> None:
        self.cables = cables
        self.folder = folder
        self.effects = folder / "effects.txt"
        self.nodes: Sequence[Node] = ()
        self.layout = Layout()
        self.apis: list[ChildServer] = []
        self.workers: list[ChildServer] = []
        self._life = ExitStack()
        self._roles: dict[ChildServer, str] = {}
        self._forks: Forks | None = None
        self._rooms: dict[int, Room] = {}
        self._skews: dict[ChildServer, int] = {}

    async def open(self, apis: int = 2, workers: int = 3) -> None:
        """Start everything."""
        self._forks = self._life.enter_context(forking(*IMPORTS))
        if self.cables:
            rooms.bridge()
            self.nodes = [self._apart(number) for number in range(NODES)]
            await asyncio.gather(*(asyncio.to_thread(node.start) for node in self.nodes))
        else:
            self.nodes = self._life.enter_context(cluster(self.folder / "nats", NODES))
        self.effects.touch()
        self.layout = await nats_stores.installation(self.nodes, lease=LEASE)
        config = clusters.config_of(self.layout, self.nodes, agents.config(), PATIENT)
        made = clusters.Cluster(self.folder, config, agents.SCENARIO, effects.tools(self.effects))
        roles = ["api"] * apis + ["worker"] * workers
        self._roles = {made.add(role): role for role in roles}
        self.apis, self.workers = made.all[:apis], made.all[apis:]
        for number, child in enumerate(made.all):
            if self.cables:
                self._rooms[id(child)] = rooms.room(self._life, 100 + number)
            self._life.callback(child.kill)
        await asyncio.gather(*map(self.start, made.all))

    def close(self) -> None:
        """Kill everything."""
        self._life.close()

    async def kill(self, child: ChildServer) -> None:
        """SIGKILL a process."""
        await asyncio.to_thread(child.kill)

    async def start(self, child: ChildServer) -> None:
        """Start a process again, in its room and with its clock."""
        role = ["--role", self._roles[child]]
        place = self._rooms[id(child)].file if self.cables else ""
        program = rooms.MOVING.format(room=place, skew=self._skews.get(child, 0))
        await asyncio.to_thread(child.start, program=program, more=role, forks=self._forks)

    async def skew(self, child: ChildServer, seconds: int) -> None:
        """Kill a process and start it with a clock that is so far ahead."""
        self._skews[child] = seconds * 1000
        await self.kill(child)
        await self.start(child)

    def room(self, who: Node | ChildServer) -> Room:
        """The room of a NATS server or a process."""
        return self._rooms[int(who.name.removeprefix("n")) if isinstance(who, Node) else id(who)]

    async def restart(self, child: ChildServer) -> None:
        """SIGTERM, wait as long as an operator does, start again."""
        assert child.process is not None
        child.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.process.wait, STOP_SECONDS)
        await self.kill(child)
        await self.start(child)

    async def cut(self, node: Node) -> None:
        """Cut a NATS server off: nothing reaches it, and nothing leaves it."""
        if self.cables:
            await self.room(node).pull()
        else:
            await asyncio.to_thread(node.freeze)

    async def join(self, node: Node) -> None:
        """The end of `cut`."""
        if self.cables:
            await self.room(node).plug()
        else:
            node.send(signal.SIGCONT)

    def _apart(self, number: int) -> Node:
        """A NATS server in a room of its own."""
        place = rooms.room(self._life, number + 1)
        self._rooms[number] = place
        client, route, monitor = PORTS
        routes = ", ".join(f'"nats://{rooms.NET}.{each + 1}:{route}"' for each in range(NODES))
        folder = self.folder / "nats"
        folder.mkdir(parents=True, exist_ok=True)
        text = CLUSTER.format(host=place.host, route=route, routes=routes)
        where = Place(place.host, place.enter)
        node = Node(folder, f"n{number}", (client, monitor), text, Settings(), where)
        self._life.callback(node.stop)
        return node


def freeze(child: ChildServer) -> None:
    """SIGSTOP a process."""
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGSTOP)


def wake(child: ChildServer) -> None:
    """SIGCONT."""
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGCONT)
