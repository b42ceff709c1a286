"""An operation that begins while its connection is lost.

It succeeds at the next server, or reports that its result is unknown; it has no other outcome.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from typing import cast

import pytest
import uvloop

from tailrace.log.stores.nats import client as clients
from tailrace.log.stores.nats.client import ABOUT_ME, Client, Unreachable
from tests.support.nats_servers import Node, cluster

SUBJECT = "t.lost"
STEPS = 8
"""Turns of the event loop within which both loops notice the loss."""
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def gather(client: Client) -> None:
    await client.gather(ABOUT_ME, b"", lambda _: True)


async def listen(client: Client) -> None:
    await (await client.listen(SUBJECT, lambda *_: None))()


async def answer(client: Client) -> None:
    async def respond(_: bytes) -> bytes | None:
        return b""

    await (await client.answer(SUBJECT, respond))()


async def tell(client: Client) -> None:
    client.tell(SUBJECT)


OPERATIONS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "request": lambda client: client.request(ABOUT_ME),
    "first": lambda client: client.first(ABOUT_ME, b""),
    "ask": lambda client: client.ask("INFO"),
    "publish": lambda client: client.publish(SUBJECT, b"", {}),
    "call": lambda client: client.call(SUBJECT, b"", 0.2),
    "gather": gather,
    "listen": listen,
    "answer": answer,
    "tell": tell,
    "flush": lambda client: client.flush(),
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


async def lose(client: Client) -> None:
    """Close the transport, as a reset by the server does, and write: that ends the library's own writer in
    the next step of the event loop, and its reader notices the loss in the step after."""
    writer = client._connection._transport._io_writer  # type: ignore[union-attr]
    cast("asyncio.Transport", writer.transport).abort()
    await client._connection.publish(SUBJECT, b"")


async def one(operation: Callable[[Client], Awaitable[object]], client: Client) -> None:
    """An operation; anything but a result or `Unreachable` is raised."""
    with suppress(Unreachable):
        await operation(client)


async def operations(nodes: Sequence[Node]) -> None:
    """Begin all operations in each step before and after the loss; the client must work afterwards.
    Operations between the end of the library's own writer and the discovery of the loss write directly."""
    client = Client([node.url for node in nodes])
    await client.open()
    try:
        await client.insist(client.flush, 10)
        before = len(client._connection._subs)
        for moment in range(STEPS):
            async with asyncio.TaskGroup() as tasks:
                for step in range(2 * STEPS):
                    if step == moment:
                        await lose(client)
                    for operation in OPERATIONS.values():
                        tasks.create_task(one(operation, client))
                    await asyncio.sleep(0)
            await client.insist(client.flush, 10)
        assert len(client._connection._subs) == before, "a subscription was left"
    finally:
        await client.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_an_operation_survives_the_loss_of_its_connection(
    nodes: Sequence[Node],
    loop: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(clients, "REPLY_SECONDS", 0.2)
    caplog.set_level(logging.DEBUG, "tailrace.log.nats")
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(operations(nodes))
    assert "notification failed" not in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_closes_while_its_connection_is_lost(nodes: Sequence[Node], loop: str) -> None:
    async def close() -> None:
        for steps in range(STEPS):
            client = Client([node.url for node in nodes])
            await client.open()
            client.tell(SUBJECT)
            await lose(client)
            for _ in range(steps):
                await asyncio.sleep(0)
            await client.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(close())
