"""Rooms: networks of their own, each with one cable to the lab's bridge, which a test can pull, or mute in
one direction. A process is started in a room by the room's `enter`, or moves there itself (`MOVING`)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

NET = "10.9.0"

MOVING = """
import ctypes, sys, time
from functools import partial
from tailrace.assembly import instance as assembly
from tailrace.assembly import stores
from tailrace.cli import main, serving
from tailrace.runs.settings import RunSettings

assembly.RunSettings = partial(RunSettings, stuck_attempts=20)

listener = serving.listen("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))
serving.listen = lambda *_: listener
room = {room!r}
if room:
    with open(room) as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
for module in (assembly, stores):
    if hasattr(module, "clock"):
        module.clock = lambda: time.time_ns() // 1_000_000 + {skew}
main()
"""
"""A process that listens in the network of its start, so that clients reach it, and then moves into a room:
it reaches the NATS servers over that room's cable. Its clock is `skew` milliseconds ahead. Faults are so
frequent here that runs are not to blame: a run is not given up after three attempts that were cut off."""


@dataclass(frozen=True)
class Room:
    """A network with an address; the process `keeper` keeps it alive."""

    host: str
    cable: str
    keeper: int

    @property
    def enter(self) -> Sequence[str]:
        """The command that starts another process in it."""
        return ["nsenter", "--target", str(self.keeper), "--net"]

    @property
    def file(self) -> str:
        """The file through which a process enters it."""
        return f"/proc/{self.keeper}/ns/net"

    async def pull(self) -> None:
        """Remove the cable: nothing is refused, nothing arrives."""
        await _ip("link", "set", self.cable, "down")

    async def plug(self) -> None:
        """The end of `pull`."""
        await _ip("link", "set", self.cable, "up")

    async def mute(self, host: str) -> None:
        """Block packets from here to another room; packets from there still arrive."""
        await asyncio.to_thread(run, *self.enter, "ip", "route", "add", "blackhole", f"{host}/32")

    async def unmute(self, host: str) -> None:
        """The end of `mute`."""
        await asyncio.to_thread(run, *self.enter, "ip", "route", "del", "blackhole", f"{host}/32")


def bridge() -> None:
    """The bridge that all cables lead to."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "addr", "add", f"{NET}.254/24", "dev", "br0")
    run("ip", "link", "set", "br0", "up")


def room(life: ExitStack, number: int) -> Room:
    """A new room, for the duration of `life`."""
    keeper = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE
    )
    life.callback(keeper.wait)
    life.callback(keeper.kill)
    assert keeper.stdout is not None
    keeper.stdout.readline()
    made = Room(f"{NET}.{number}", f"cable{number}", keeper.pid)
    peer = ("peer", "name", "eth0", "netns", str(keeper.pid))
    run("ip", "link", "add", made.cable, "type", "veth", *peer)
    run("ip", "link", "set", made.cable, "master", "br0", "up")
    run(*made.enter, "ip", "link", "set", "lo", "up")
    run(*made.enter, "ip", "addr", "add", f"{made.host}/24", "dev", "eth0")
    run(*made.enter, "ip", "link", "set", "eth0", "up")
    return made


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


async def _ip(*arguments: str) -> None:
    await asyncio.to_thread(run, "ip", *arguments)
