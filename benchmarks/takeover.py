"""A cluster: from `kill -9` of a worker to the next event that a reader sees, ten times.

Three NATS servers, one process that serves, two that work, the default lease of five seconds. The run says a
word every 40 ms; after each kill a new worker is started, so that there are always two. What a takeover takes
depends on when the dead worker last said that it lives, which it does three times a lease: each kill comes a
little later after the last takeover than the one before.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time

import aiohttp

from scripts.demo_cluster import Cluster, busy, cluster

KILLS = 10
LEASE = 5.0
WORDS = "word " * 2_000
BEFORE_KILL, LATER = 20, 5
"""Events of a worker before it dies, and how many more of each next one."""


def main() -> list[str]:
    """The row of the results table."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # others kept their load to one core
    with cluster() as made:
        made.engine(lease=LEASE)
        gaps = asyncio.run(_measure(made))
    return [
        f"| takeover, lease {LEASE:.0f} s, {KILLS} kills: p50 / max | "
        f"{statistics.median(gaps):.1f} / {max(gaps):.1f} s | | |"
    ]


async def _measure(made: Cluster) -> list[float]:
    server = made.serve("api")
    workers = [made.serve("worker") for _ in range(2)]
    spare: asyncio.Task[str] | None = None
    gaps: list[float] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        asked = {"agent": "echo", "input": WORDS}
        job = (await (await session.post(f"{server}/jobs", json=asked)).json())["id"]
        seen, died = 0, 0.0
        async with session.get(f"{server}/jobs/{job}/stream") as reply:
            async for line in reply.content:
                if not line.startswith(b"data:"):
                    continue
                seen += 1
                if died:
                    gaps.append(time.monotonic() - died)
                    seen, died = 0, 0.0
                    if len(gaps) == KILLS:
                        return gaps
                elif seen == BEFORE_KILL + LATER * len(gaps):
                    if spare is not None:
                        workers.append(await spare)
                    dead = await busy(workers)
                    made.kill(dead)
                    died = time.monotonic()
                    workers.remove(dead)
                    spare = asyncio.create_task(asyncio.to_thread(made.serve, "worker"))
    raise RuntimeError("the run ended before all kills")


if __name__ == "__main__":
    print("\n".join(main()))
