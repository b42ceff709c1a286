"""`tailrace export` and `tailrace import`: all that a server keeps, from one place to another by a file."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

import typer

from tailrace.assembly import stores
from tailrace.assembly.stores import RunStore
from tailrace.auth import tokens
from tailrace.cli.sources import place_of
from tailrace.errors import ConfigError, LogError
from tailrace.log import private, transfer
from tailrace.log.transfer import Moved
from tailrace.runs import accounts, conversations, directory, submission, sweeping
from tailrace.runtimes.contract import KEPT

BUCKETS = (
    tokens.BUCKET,
    accounts.BUCKET,
    conversations.BUCKET,
    submission.KEYS,
    submission.RETRIES,
    KEPT,
    directory.BUCKET,
    sweeping.BUCKET,
)
"""All records but the one that only says that the engine can be written to."""


async def export(source: str, file: Path) -> None:
    """Write what the configured server keeps to `file`. Raises `ConfigError`, `LogError`."""
    moved = Moved()
    async with _opened(source) as (store, _):
        with _written(file) as output:
            async for line in transfer.export(store, BUCKETS, directory.BUCKET, moved):
                output.write(line)
    _say("exported", moved)


async def import_(source: str, file: Path) -> None:
    """Put what `file` holds where the configured server keeps its own. Raises `ConfigError`, `LogError`."""

    def lines() -> Iterator[bytes]:
        try:
            with file.open("rb") as opened:
                yield from opened
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error

    async with _opened(source) as (store, cluster):
        try:
            moved = await transfer.import_(store, lines)
        except transfer.Broken as error:
            raise LogError(f"{file}, {error}; nothing was imported") from error
        if cluster is not None:  # a process with a folder looks for them when it starts
            for run in moved.open:
                await cluster.engine().offer(run)
    _say("imported", moved)


@contextmanager
def _written(file: Path) -> Generator[IO[bytes], None, None]:
    """A new file, for the eyes of its owner only; gone again when it does not become whole."""
    try:
        output = os.fdopen(private.open_file(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    try:
        with output:
            yield output
    except BaseException as error:
        file.unlink()
        if isinstance(error, OSError):
            raise LogError(f"{file}: {error.strerror}") from error
        raise


@asynccontextmanager
async def _opened(source: str) -> AsyncGenerator[RunStore, None]:
    """The engine of the server of a configuration file, or of `module:app`."""
    made = place_of(source)
    engine = stores.engine(made.config, made.data)
    await engine.store.open()
    try:
        yield engine
    finally:
        await engine.store.close()


def _say(what: str, moved: Moved) -> None:
    unfinished = f" ({len(moved.open)} not ended)" if moved.open else ""
    typer.echo(
        f"{what}: {moved.runs} runs{unfinished}, {moved.events} events, {moved.records} records"
    )
