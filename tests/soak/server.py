"""One server under moderate load for hours: `python -m tests.soak.server [SECONDS] [SEED] [FOLDER]`. 52
clients of seven surfaces, a share of which is cut off and continues; their runs are kept for three minutes.
Every ten seconds `probe` samples the server; the samples go to FOLDER/samples.jsonl, and are drawn to
FOLDER/samples.svg. It fails when a reply was wrong, or when anything grows after the warm-up."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.soak import agents, probe
from tests.soak.clients import Traffic
from tests.soak.drawing import drawn
from tests.soak.probe import Sample
from tests.soak.served import Guest
from tests.soak.trend import Trend, trend
from tests.support import effects
from tests.support.servers import ChildServer

SURFACES = ("native", "responses", "chat", "messages", "session", "ui", "agui")
GUESTS = 52
PAUSE_SECONDS = 3.0
LOOK_SECONDS = 10.0
WARM_SECONDS = 600.0
"""The time after which as much data expires as is created, and all parts of the server were used."""
LEAST_SAMPLES = 30
"""Fewer samples after the warm-up show nothing about growth."""
JUDGED = {
    "rss_mb": 5.0,
    "threads": 2.0,
    "descriptors": 20.0,
    "tasks": 30.0,
    "objects": 20_000.0,
    "db_mb": 5.0,
    "wal_mb": 5.0,
    **dict.fromkeys(probe.TABLES, 500.0),
}
"""The values that must not grow, and the minimum that counts as growth."""
SERVER = "[server]\nretention_hours = 0.05\n"


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)  # noqa: T201 - it is a program


async def soak(folder: Path, seconds: float, seed: str) -> bool:
    """Run everything; returns whether there was no fault."""
    config = SERVER + agents.config()
    tools = effects.tools(folder / "effects.txt")
    child = ChildServer(folder, config=config, scenario=agents.SCENARIO, tools=tools)
    child.start(program=probe.PROGRAM)
    traffic = Traffic([child], random.Random(seed))
    guests = [Guest(traffic, SURFACES[number % len(SURFACES)]) for number in range(GUESTS)]
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            for guest in guests:
                tasks.create_task(guest.go_on(stop, PAUSE_SECONDS))
            samples = await _watch(folder, child, traffic, seconds)
            stop.set()
    finally:
        await traffic.session.close()
        child.kill()
    done = sum((guest.finished for guest in guests), Counter[str]())
    say(f"turns: {dict(done)}; replies: {dict(traffic.said)}; wrong: {len(traffic.wrong)}")
    for each in traffic.wrong[:10]:
        say(each)
    return _judge(samples) and not traffic.wrong and "Traceback" not in child.errors()


async def _watch(
    folder: Path, child: ChildServer, traffic: Traffic, seconds: float
) -> list[Sample]:
    """Sample every few seconds, and write the samples to a file."""
    begun, samples = time.monotonic(), list[Sample]()
    data = folder / "tailrace-data"
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        while (now := time.monotonic() - begun) < seconds:
            found = await probe.sample(traffic.session, child, data)
            samples.append({"seconds": round(now, 1), **found, "wrong": len(traffic.wrong)})
            file.write(json.dumps(samples[-1]) + "\n")
            file.flush()
            await asyncio.sleep(min(LOOK_SECONDS, seconds / 4))
    series = {name: [each[name] for each in samples] for name in samples[0]}
    (folder / "samples.svg").write_text(drawn(series), encoding="utf-8")
    return samples


def _judge(samples: Sequence[Sample]) -> bool:
    """Print the trend of each series; returns whether none grows."""
    seconds = samples[-1]["seconds"]
    warm = min(WARM_SECONDS, seconds / 2)
    judged = [each for each in samples if each["seconds"] >= warm]
    fine = True
    for name, least in JUDGED.items():
        values = [each[name] for each in judged]
        found = trend(values) if len(values) > 1 else Trend(values[0], 0.0)
        grows = len(judged) >= LEAST_SAMPLES and found.grows(least)
        fine = fine and not grows
        word = ", which is GROWTH" if grows else ""
        say(f"{name}: {found.level:g}, and {found.grown:+g} in {seconds - warm:.0f} s{word}")
    if len(judged) < LEAST_SAMPLES:
        say(f"{len(judged)} samples after the warm-up say nothing of growth")
    lags = sorted(each["loop_lag_ms"] for each in samples)
    say(f"loop lag: median {lags[len(lags) // 2]:g} ms, at worst {lags[-1]:g} ms")
    say(f"processor: {samples[-1]['cpu_seconds'] / max(seconds, 1):.1%} of one core")
    return fine


def main(arguments: Sequence[str]) -> int:
    """The program."""
    given = [*arguments, *("7200", secrets.token_hex(4), "")[len(arguments) :]]
    seconds, seed = float(given[0]), given[1]
    folder = Path(given[2] or tempfile.mkdtemp(prefix="tailrace-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"seed {seed}; samples, and what the server says, are in {folder}")
    return 0 if asyncio.run(soak(folder, seconds, seed)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
