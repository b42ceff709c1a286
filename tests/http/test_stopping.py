"""Agents that do not let themselves be stopped do not keep the server from stopping."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.support.servers import ChildServer

STUBBORN = """
import asyncio

import tailrace


async def stubborn(run: tailrace.Run):
    yield "I stay."
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
"""
CONFIG = '[server]\n{server}\n[agents.stubborn]\nentry = "helper_tools:stubborn"\n'
LONGEST = 17.0
"""Seconds; ten of them a run has to let itself be stopped (`cancel_seconds`)."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_stops_though_an_agent_does_not(tmp_path: Path, number: signal.Signals) -> None:
    settings = 'data = "data"\nshutdown_seconds = 0.1'
    server = ChildServer(tmp_path, server=settings, config=CONFIG, tools=STUBBORN).start()
    job = httpx.post(f"{server.url}/jobs", json={"agent": "stubborn", "input": "x"}).json()["id"]
    while not httpx.get(f"{server.url}/jobs/{job}").json()["output"]:
        pass
    assert server.process is not None
    began = time.monotonic()
    server.process.send_signal(number)
    server.process.wait(timeout=30)
    assert time.monotonic() - began < LONGEST
    assert "does not let itself be stopped" in server.errors()
    server.process = None
    server.start()
    found = httpx.get(f"{server.url}/jobs/{job}").json()
    server.kill()
    assert found["status"] == "failed", "a generator cannot go on; but nobody has lost the run"
