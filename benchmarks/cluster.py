"""Three NATS servers, processes that serve and processes that work: what a cluster costs beside one process.

All of it shares this machine's cores with the load, so events a second say what two cores carry, each copy of
each event included; CPU of each kind of process says who pays. The peer is one process over SQLite in the
same minute, and like it the cluster writes durably (`sync_interval: always`, three copies).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

import uvloop

from benchmarks.harness import CONFIG, Reader, Server, begin, get, load, median, responses, tailrace
from benchmarks.readers import newest
from scripts.demo_cluster import Cluster, cluster

QUIET = """
[models.quiet]
dialect = "echo"
interval_ms = 600000
"""
STREAMS, TOKENS = 50, 1_000
FIRST_TOKENS = 100
REPLAYED = 4_985
"""Tokens of a run of about 5,000 events."""
REPLAYS = 11
READERS = 1_000
IDLE_SECONDS = 20.0
"""Longer than the tail's idle poll, so that the polls are in the figure."""


class Shape:
    """The processes of a cluster, by what they do."""

    def __init__(self, made: Cluster, servers: int, workers: int) -> None:
        # Children inherit it, and the questions before this one kept their load to one core.
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        made.engine(lease=5.0)
        self.nats = [Server(process, port) for port, process in made.processes.items()]
        self.servers = [self._serve(made, "api") for _ in range(servers)]
        self.workers = [self._serve(made, "worker") for _ in range(workers)]

    def cpu(self) -> list[float]:
        """Seconds of CPU so far: servers, workers, NATS."""
        kinds = (self.servers, self.workers, self.nats)
        return [sum(each.cpu() for each in kind) for kind in kinds]

    def _serve(self, made: Cluster, role: str) -> Server:
        port = int(made.serve(role).rsplit(":", 1)[1])
        return Server(made.processes[port], port)


def throughput(servers: int) -> list[str]:
    """Streams at once through so many serving processes and two that work."""
    with cluster(CONFIG) as made:
        shape = Shape(made, servers, workers=2)
        ports = [server.port for server in shape.servers]
        _through(ports, STREAMS // 5)
        before = shape.cpu()
        rate, frames = _through(ports, STREAMS)
        spent = [(now - then) / frames * 1e6 for now, then in zip(shape.cpu(), before, strict=True)]
    with tailrace() as server:
        _through([server.port], STREAMS // 5)
        alone, _ = _through([server.port], STREAMS)
    costs = ", ".join(
        f"{kind} {cost:.0f}" for kind, cost in zip(("API", "workers", "NATS"), spent, strict=True)
    )
    return [
        f"| {STREAMS} streams unpaced, {servers} API, 2 workers | {rate:,.0f} events/s ({costs} µs each) "
        f"| {alone:,.0f} events/s | {rate / alone:.2f} |"
    ]


def _through(ports: Sequence[int], streams: int) -> tuple[float, int]:
    """Events a second, and how many, of streams spread over these servers."""

    async def scene() -> tuple[float, int]:
        request = responses("fast", TOKENS)
        begun = time.perf_counter()
        loads = [load(port, request, streams // len(ports)) for port in ports]
        readers = [reader for each in await asyncio.gather(*loads) for reader in each]
        frames = sum(reader.frames for reader in readers)
        return frames / (time.perf_counter() - begun), frames

    return uvloop.run(scene())


def one_server() -> list[str]:
    """First token, catch-up, many readers and idle readers, at one serving process and one that works."""
    with cluster(CONFIG + QUIET) as made:
        shape = Shape(made, servers=2, workers=1)
        here, there = shape.servers
        first = uvloop.run(_first_token(here))
        caught = uvloop.run(_catch_up(here, there))
        fanned = uvloop.run(_fan_out(here))
        idle = uvloop.run(_idle(shape, here))
    with tailrace() as server:
        first_alone = uvloop.run(_first_token(server))
        caught_alone = uvloop.run(_catch_up(server, server))
        fanned_alone = uvloop.run(_fan_out(server))
    return [
        f"| first token, p50 | {first:.1f} ms | {first_alone:.1f} ms | {first - first_alone:+.1f} ms |",
        f"| catch-up of 5,000 events at another process | {caught:.0f} ms | {caught_alone:.0f} ms "
        f"| {caught / caught_alone:.1f} |",
        f"| one run, {READERS:,} readers of one process | {fanned:.1f} µs a delivered frame "
        f"| {fanned_alone:.1f} µs | {fanned / fanned_alone:.2f} |",
        f"| an idle reader, of {READERS:,} of one quiet run | {idle[0]:.0f} KB, {idle[1]:.1f} µs/s of the "
        f"API, {idle[2]:.1f} µs/s of NATS | | |",
    ]


async def _first_token(server: Server) -> float:
    """Milliseconds from the request to the first token, one stream at a time."""
    times: list[float] = []
    for _ in range(FIRST_TOKENS):
        (reader,) = await load(server.port, responses("fast", 5), 1)
        times.append(((reader.first or 0) - reader.begun) * 1000)
    return median(times)


async def _catch_up(here: Server, there: Server) -> float:
    """Milliseconds from first byte to last of a run that was made at another process."""
    await load(here.port, responses("fast", REPLAYED), 1)
    path = f"/jobs/{await newest(here)}/stream?as=responses"
    times: list[float] = []
    for _ in range(REPLAYS):
        (reader,) = await load(there.port, get(path), 1)
        times.append((await reader.ended - reader.begun) * 1000)
    return median(times)


async def _fan_out(server: Server) -> float:
    """Microseconds of the serving process per frame delivered to the readers of one run."""
    (starter,) = await begin(server.port, responses("paced", 200), 1)
    readers = await _all_reading(server, starter)
    before, seen = server.cpu(), sum(reader.frames for reader in readers)
    await asyncio.gather(*(reader.ended for reader in readers))
    return (server.cpu() - before) / (sum(r.frames for r in readers) - seen) * 1e6


async def _idle(shape: Shape, server: Server) -> tuple[float, float, float]:
    """Of a reader of a run that says nothing: KB, and microseconds a second of the API and of NATS."""
    (starter,) = await begin(server.port, responses("quiet", 2), 1)
    while not starter.frames:
        await asyncio.sleep(0.01)
    memory, calm = server.memory(), await _spent(shape)
    readers = await begin(server.port, await _path(server), READERS)
    while any(not reader.frames for reader in readers):
        await asyncio.sleep(0.1)
    grown = (server.memory() - memory) / READERS / 1024
    busy = await _spent(shape)
    for reader in (*readers, starter):
        reader.transport.abort()
    api, nats = ((b - c) / READERS / IDLE_SECONDS * 1e6 for b, c in zip(busy, calm, strict=True))
    return grown, api, nats


async def _spent(shape: Shape) -> tuple[float, float]:
    """Seconds of CPU of the API and of NATS in a while."""
    api, _, nats = shape.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    later, _, then = shape.cpu()
    return later - api, then - nats


async def _all_reading(server: Server, starter: Reader) -> list[Reader]:
    """The readers of the run that `starter` has begun to read."""
    while starter.first is None:
        await asyncio.sleep(0.01)
    return await begin(server.port, await _path(server), READERS)


async def _path(server: Server) -> bytes:
    """A request for the stream of the newest run."""
    return get(f"/jobs/{await newest(server)}/stream?as=responses")


def main() -> list[str]:
    """Rows of the results table; the second column is one process over SQLite."""
    return [*throughput(1), *throughput(2), *one_server()]


if __name__ == "__main__":
    print("\n".join(main()))
