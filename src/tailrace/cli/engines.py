"""`tailrace engine`: make and check what processes share on NATS servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import typer

from tailrace import assembly_stores, config
from tailrace.cli.sources import place_of
from tailrace.errors import ConfigError

try:
    from tailrace.log.stores.nats import layout as layouts
    from tailrace.log.stores.nats import safety
    from tailrace.log.stores.nats.client import Client
    from tailrace.log.stores.nats.layout import Layout
except ImportError:
    raise ConfigError("an engine needs the extra: pip install 'tailrace[nats]'") from None


def engine(source: str, url: str) -> config.Config:
    """A configuration with an engine: its own, or the one at `url`. Raises `ConfigError`."""
    there = Path(source).exists() or config.PATH.fullmatch(source)
    found = place_of(source).config if there or not url else config.Config()
    if url:
        found = msgspec.structs.replace(
            found, engine=msgspec.structs.replace(found.engine, url=url)
        )
    if not found.engine.url:
        raise ConfigError("no engine: set [engine] url, or give --engine nats://host:port")
    return found


async def init(found: config.Config) -> None:
    """Make the streams that are missing. Raises `ConfigError`, `LogError`."""
    async with _connected(found) as (client, layout):
        copies = await layouts.create(client, layout)
        typer.echo(f"{layout.name}: {len(layout.streams())} streams, {copies} replicas")
        if copies != layout.replicas:
            typer.echo(
                f"{layout.name}: they are as they were made; `nats stream edit` changes replicas"
            )


async def check(found: config.Config, monitors: list[str]) -> None:
    """Check that the streams are as they must be, and say what is unsafe: status 1 when something is.

    `monitors` are as for `safety.unsafe`. Raises `ConfigError`, `LogError`.
    """
    async with _connected(found) as (client, layout):
        await layouts.check(client, layout)
        unsafe = await safety.unsafe(client, layout, monitors)
    for sentence in unsafe or ["fine"]:
        typer.echo(f"{layout.name}: {sentence}")
    if unsafe:
        raise typer.Exit(1)


@asynccontextmanager
async def _connected(
    found: config.Config,
) -> AsyncGenerator[tuple[Client, Layout], None]:
    servers, layout = assembly_stores.nats(found)
    client = Client(servers)
    await client.open()
    try:
        yield client, layout
    finally:
        await client.close()
