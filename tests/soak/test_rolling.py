"""Every process of a cluster is stopped in order and started again, one after the other, under load. No
client sees more than a connection that ends: the official client retries as the server says, no run fails,
and every stream that was read agrees with the log."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from openai import APIConnectionError, AsyncOpenAI
from openai.types.responses import ResponseStreamEvent

from tailrace.log.stores.nats.client import Client
from tests.soak.audit import Auditor, effects_once
from tests.soak.clients import Customer, Traffic
from tests.soak.faults import Scene
from tests.soak.lab import Lab
from tests.support.servers import ChildServer
from tests.support.waiting import until

RUNS = 20
READY_SECONDS = 60.0
TRIES = 6


class Official:
    """A user of the official client: streams one response after the other, and continues where the stream
    broke off."""

    def __init__(self, servers: Sequence[ChildServer], number: int) -> None:
        self.responses = self.reconnects = 0
        self.reading = False
        self._number = number
        self._clients = [
            AsyncOpenAI(base_url=f"{each.url}/v1", api_key="unused", max_retries=TRIES)
            for each in servers
        ]

    async def go_on(self, stop: asyncio.Event) -> None:
        """Run until `stop`. Raises the client's errors."""
        try:
            while not stop.is_set():
                self._check(await self._response(f"walk official {self._number}.{self.responses}"))
                self.responses += 1
        finally:
            for client in self._clients:
                await client.close()

    async def _response(self, text: str) -> list[ResponseStreamEvent]:
        seen: list[ResponseStreamEvent] = []
        client = self._clients[self._number % len(self._clients)]
        key = {"idempotency-key": text}
        stream = await client.responses.create(
            model="walker", input=text, stream=True, extra_headers=key
        )
        while True:
            try:
                async for event in stream:
                    seen.append(event)
                    self.reading = True
            except (APIConnectionError, httpx.TransportError):
                pass  # cut in the middle
            if seen and seen[-1].type == "response.completed":
                return seen
            self.reconnects += 1
            if not seen:
                stream = await client.responses.create(
                    model="walker", input=text, stream=True, extra_headers=key
                )
                continue
            assert seen[0].type == "response.created"
            other = self._clients[self.reconnects % len(self._clients)]
            stream = await other.responses.retrieve(
                seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
            )

    def _check(self, seen: list[ResponseStreamEvent]) -> None:
        assert [event.sequence_number for event in seen] == list(range(len(seen)))


@asynccontextmanager
async def loaded(folder: Path) -> AsyncGenerator[tuple[Scene, Traffic, Auditor], None]:
    """A cluster with clients that have not started yet."""
    async with AsyncExitStack() as life:
        lab = Lab(folder, cables=False)
        life.callback(lab.close)
        await lab.open(workers=2)
        client = Client([node.url for node in lab.nodes])
        await client.open()
        life.push_async_callback(client.close)
        traffic = Traffic(lab.apis, random.Random(7))
        life.push_async_callback(traffic.session.close)
        auditor = Auditor(client, lab.layout, traffic)
        customers = [Customer(traffic, number, auditor.whole) for number in range(RUNS)]
        scene = Scene(lab, client, lab.layout, customers, traffic.chance, auditor, asyncio.Lock())
        yield scene, traffic, auditor


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    return (await client.get(f"{url}/readyz", timeout=20)).status_code == 200


async def restart_all(scene: Scene) -> None:
    """Restart each process in turn, when the one before it is ready again."""
    for child in (*scene.lab.apis, *scene.lab.workers):
        await scene.lab.restart(child)
        async with httpx.AsyncClient() as client:
            await until(partial(_is_ready, client, child.url), READY_SECONDS)
    for node in scene.lab.nodes:
        await scene.leader()
        await asyncio.to_thread(node.send, signal.SIGTERM)
        await asyncio.to_thread(node.start)
    await scene.leader()


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_rolling_restart_of_everything(tmp_path: Path) -> None:
    async with loaded(tmp_path) as (scene, traffic, auditor):
        stop = asyncio.Event()
        official = [Official(scene.lab.apis, number) for number in range(4)]
        async with asyncio.TaskGroup() as tasks:
            for customer in scene.customers:
                tasks.create_task(customer.go_on(stop))
            for one in official:
                tasks.create_task(one.go_on(stop))
            await until(lambda: all(one.reading for one in official), READY_SECONDS)
            await restart_all(scene)
            stop.set()
        runs = [run for one in scene.customers for run in one.runs]
        assert len(runs) >= RUNS
        assert all(one.responses for one in official)
        assert sum(one.reconnects for one in official)
        await auditor.check([reader for run in runs for reader in run.readers])
        assert not traffic.wrong
        effects_once(scene.lab.effects)
