"""Commands on a store beside its servers: `tailrace check --data`, `tailrace engine`, `tailrace sweep`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import typer

from tailrace import config
from tailrace.assembly import stores
from tailrace.auth import tokens
from tailrace.cli.sources import place_of
from tailrace.errors import ConfigError
from tailrace.events.versions import unpack_entry
from tailrace.log.stores.registry import shared_forms
from tailrace.runs import (
    accounts,
    concurrency,
    conversations,
    directory,
    scrub,
    submission,
    sweeping,
    turns,
)
from tailrace.runs.scrub import Readers
from tailrace.runs.sweeping import confirm
from tailrace.runtimes import user_memory
from tailrace.runtimes.contract import CHECKPOINTS, STATES

READERS: Readers = {
    directory.BUCKET: directory.SHAPE.decode,
    conversations.BUCKET: conversations.SHAPE.decode,
    tokens.BUCKET: tokens.SHAPE.decode,
    accounts.BUCKET: accounts.SHAPE.decode,
    concurrency.BUCKET: concurrency.SHAPE.decode,
    sweeping.BUCKET: sweeping.SHAPE.decode,
    turns.BUCKET: turns.SHAPE.decode,
    submission.KEYS: submission.SHAPE.decode,
    submission.RETRIES: submission.SHAPE.decode,
    CHECKPOINTS: unpack_entry,
    STATES: unpack_entry,
    user_memory.BUCKET: unpack_entry,
}


async def check_store(source: str, data: Path | None) -> None:
    """Check the folder `data`, or else the store of the configured server. Raises `ConfigError`, and as
    `check_folder`."""
    place = place_of(source)
    settings = place.config
    if data is None and settings.engine.url:
        await _say(settings.engine.name, _of_engine(settings, place.data))
    else:
        await check_folder(data or place.data)


async def check_folder(folder: Path) -> None:
    """Check a data folder. Prints a line for each fault, and exits with status 1 if there is one. Raises
    `LogError`."""
    await _say(str(folder), _of_folder(folder))


async def _say(where: str, faults: AsyncGenerator[str, None]) -> None:
    count = 0
    async for sentence in faults:
        typer.echo(f"{where}: {sentence}")
        count += 1
    if count:
        raise typer.Exit(1)
    typer.echo(f"{where}: fine")


async def _of_folder(folder: Path) -> AsyncGenerator[str, None]:
    logging.getLogger("tailrace.log").setLevel(
        logging.CRITICAL
    )  # the sentences report the same faults
    async for sentence in _of_engine(config.Config(), folder):
        yield sentence


async def _of_engine(settings: config.Config, folder: Path) -> AsyncGenerator[str, None]:
    async with stores.inspect(settings, folder) as inspection:
        async for sentence in scrub.scrub(inspection, READERS):
            yield sentence


def engine(source: str, url: str) -> config.Config:
    """The configuration of a source with its engine, or with the one at `url`. Raises `ConfigError`."""
    exists = Path(source).exists() or config.PATH.fullmatch(source)
    settings = place_of(source).config if exists or not url else config.Config()
    if url:
        settings = msgspec.structs.replace(
            settings, engine=msgspec.structs.replace(settings.engine, url=url)
        )
    if not settings.engine.url:
        raise ConfigError(f"no engine: set [engine] url, or give --engine {shared_forms()}")
    return settings


async def create_engine(settings: config.Config) -> None:
    """Create the streams that are missing. Raises `ConfigError`, `LogError`."""
    for sentence in await stores.create(settings):
        typer.echo(f"{settings.engine.name}: {sentence}")


async def check_engine(settings: config.Config, monitors: list[str]) -> None:
    """Print what is unsafe about the streams; exit with status 1 if anything is.

    `monitors` as for `StoreDriver.unsafe`. Raises `ConfigError`, `LogError`.
    """
    unsafe = await stores.unsafe(settings, monitors)
    for sentence in unsafe or ["fine"]:
        typer.echo(f"{settings.engine.name}: {sentence}")
    if unsafe:
        raise typer.Exit(1)


async def sweep(source: str, data: Path | None) -> None:
    """Confirm the clock to the servers of `source`, or of the folder `data`. Raises `ConfigError`,
    `LogError`."""
    place = place_of(source)
    records = stores.side_records(place.config, data or place.data)
    await confirm(records, stores.clock())
    typer.echo("the clock is confirmed: what is due expires within a minute, where a server runs")
