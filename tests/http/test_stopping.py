"""Agents that ignore their cancellation do not keep the server from stopping."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from tailrace.http.server import GracefulTimeout
from tailrace.service.lifecycle import Shutdown
from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment

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
"""Seconds; a run has ten of them to accept its cancellation (`cancel_seconds`)."""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_server_stops_though_an_agent_does_not(tmp_path: Path, number: signal.Signals) -> None:
    settings = 'data = "data"\nshutdown_seconds = 0.1'
    server = ChildServer(tmp_path, server=settings, config=CONFIG, tools=STUBBORN).start()
    job = httpx.post(f"{server.url}/jobs", json={"agent": "stubborn", "input": "x"}).json()["id"]
    while not httpx.get(f"{server.url}/jobs/{job}").json()["output"]:
        select_a_moment()
    assert server.process is not None
    began = time.monotonic()
    server.process.send_signal(number)
    server.process.wait(timeout=patient(30))
    assert time.monotonic() - began < patient(LONGEST)
    assert "ignores its cancellation" in server.errors()
    server.process = None
    server.start()
    while (found := httpx.get(f"{server.url}/jobs/{job}").json())["status"] == "in_progress":
        select_a_moment()  # the new process takes it over in the background
    server.kill()
    assert found["status"] == "failed", "a generator cannot go on; but nobody has lost the run"


@pytest.mark.parametrize("stopping", [True, False])
async def test_a_request_that_waits_at_shutdown_is_503(
    stopping: bool,
) -> None:
    """The test cancels the task of the request, as uvicorn does; the reply of uvicorn itself was a 500."""
    sent: list[Message] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def received() -> Message:
        raise AssertionError("nobody asks")

    async def send(message: Message) -> None:
        sent.append(message)

    shutdown = Shutdown()
    asking = asyncio.create_task(
        GracefulTimeout(waits, shutdown)({"type": "http", "headers": []}, received, send)
    )
    await asyncio.sleep(0)
    if stopping:
        shutdown.start()
    asking.cancel()
    if not stopping:
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not sent
        return
    await asking
    start, body = sent
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert b"restarting" in body["body"]
