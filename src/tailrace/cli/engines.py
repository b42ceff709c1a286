"""`tailrace engine`: create and check the streams that the processes of a cluster share."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer

from tailrace import config
from tailrace.assembly import stores
from tailrace.cli.sources import place_of
from tailrace.errors import ConfigError


def engine(source: str, url: str) -> config.Config:
    """The configuration of a source with its engine, or with the one at `url`. Raises `ConfigError`."""
    exists = Path(source).exists() or config.PATH.fullmatch(source)
    settings = place_of(source).config if exists or not url else config.Config()
    if url:
        settings = msgspec.structs.replace(
            settings, engine=msgspec.structs.replace(settings.engine, url=url)
        )
    if not settings.engine.url:
        raise ConfigError("no engine: set [engine] url, or give --engine nats://host:port")
    return settings


async def init(settings: config.Config) -> None:
    """Create the streams that are missing. Raises `ConfigError`, `LogError`."""
    for sentence in await stores.create(settings):
        typer.echo(f"{settings.engine.name}: {sentence}")


async def check(settings: config.Config, monitors: list[str]) -> None:
    """Print what is unsafe about the streams; exit with status 1 if anything is.

    `monitors` as for `StoreDriver.unsafe`. Raises `ConfigError`, `LogError`.
    """
    unsafe = await stores.unsafe(settings, monitors)
    for sentence in unsafe or ["fine"]:
        typer.echo(f"{settings.engine.name}: {sentence}")
    if unsafe:
        raise typer.Exit(1)
