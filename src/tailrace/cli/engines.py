"""`tailrace engine`: make and check what processes share."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer

from tailrace import config
from tailrace.assembly import stores
from tailrace.cli.sources import place_of
from tailrace.errors import ConfigError


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
    """Make what processes share, where it is missing. Raises `ConfigError`, `LogError`."""
    for sentence in await stores.create(found):
        typer.echo(f"{found.engine.name}: {sentence}")


async def check(found: config.Config, monitors: list[str]) -> None:
    """Check what processes share, and say what is unsafe: status 1 when something is.

    `monitors` as for `StoreDriver.unsafe`. Raises `ConfigError`, `LogError`.
    """
    unsafe = await stores.unsafe(found, monitors)
    for sentence in unsafe or ["fine"]:
        typer.echo(f"{found.engine.name}: {sentence}")
    if unsafe:
        raise typer.Exit(1)
