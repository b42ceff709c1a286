"""Stores over the NATS servers of a test."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from tailrace.log.stores.nats import layout as layouts
from tailrace.log.stores.nats.client import Client
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.store import NatsStore
from tests.support.nats_servers import Node


async def installation(nodes: Sequence[Node], *, lease: float = 5.0) -> Layout:
    """The streams of a new installation."""
    layout = Layout(f"t{secrets.token_hex(4)}", shards=2, replicas=len(nodes), lease=lease)
    client = Client([node.url for node in nodes])
    await client.open()
    await layouts.create(client, layout)
    await client.close()
    return layout


def store(nodes: Sequence[Node], layout: Layout) -> NatsStore:
    """A store that is not open yet; for the servers each store is another process."""
    return NatsStore([node.url for node in nodes], layout)
