"""`tailrace engine`: make and check what processes share on NATS servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import typer

from tailrace import assembly_stores, config
from tailrace.errors import ConfigError

try:
    from tailrace.log.stores.nats import layout as layouts
    from tailrace.log.stores.nats import safety
    from tailrace.log.stores.nats.client import Client
    from tailrace.log.stores.nats.layout import Layout
except ImportError:
    raise ConfigError("an engine needs the extra: pip install 'tailrace[nats]'") from None


def engine(file: Path, url: str) -> config.EngineConfig:
    """The configured engine, or the one at `url`. Raises `ConfigError`."""
    table = config.load(file).engine if file.exists() or not url else config.EngineConfig()
    if url:
        table = msgspec.structs.replace(table, url=url)
    if not table.url:
        raise ConfigError("no engine: set [engine] url, or give --engine nats://host:port")
    return table


async def init(table: config.EngineConfig) -> None:
    """Make the streams that are missing. Raises `ConfigError`, `LogError`."""
    async with _connected(table) as (client, layout):
        await layouts.create(client, layout)
        typer.echo(f"{layout.name}: {len(layout.streams())} streams, {layout.replicas} replicas")


async def check(table: config.EngineConfig, monitors: list[str]) -> None:
    """Check that the streams are as they must be, and say what is unsafe: status 1 when something is.

    `monitors` are as for `safety.unsafe`. Raises `ConfigError`, `LogError`.
    """
    async with _connected(table) as (client, layout):
        await layouts.check(client, layout)
        found = await safety.unsafe(client, layout, monitors)
    for sentence in found or ["fine"]:
        typer.echo(f"{layout.name}: {sentence}")
    if found:
        raise typer.Exit(1)


@asynccontextmanager
async def _connected(
    table: config.EngineConfig,
) -> AsyncGenerator[tuple[Client, Layout], None]:
    servers, layout = assembly_stores.nats(table)
    client = Client(servers)
    await client.open()
    try:
        yield client, layout
    finally:
        await client.close()
