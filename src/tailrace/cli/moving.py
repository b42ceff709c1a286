"""`tailrace export` and `tailrace import`: all runs and records of a server, by a file."""

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
from tailrace.log.transfer import TransferCounts
from tailrace.runs import accounts, conversations, directory, submission, sweeping
from tailrace.runtimes import user_memory
from tailrace.runtimes.contract import CHECKPOINTS, STATES

BUCKETS = (
    tokens.BUCKET,
    accounts.BUCKET,
    conversations.BUCKET,
    submission.KEYS,
    submission.RETRIES,
    CHECKPOINTS,
    STATES,
    user_memory.BUCKET,
    directory.BUCKET,
    sweeping.BUCKET,
)
"""The buckets that are exported. Not exported: `turns` and `running`, which have the leases of live
processes, and the probe of `/readyz`."""


async def export(source: str, file: Path) -> None:
    """Write all runs and records of the configured server to a new file. Raises `ConfigError`, `LogError`."""
    counts = TransferCounts()
    async with _open_store(source) as (store, _):
        with _new_file(file) as output:
            async for line in transfer.export(store, BUCKETS, directory.BUCKET, counts):
                output.write(line)
    _say("exported", counts)


async def import_(source: str, file: Path) -> None:
    """Read the runs and records of `file` into the configured server's store. Raises `ConfigError`,
    `LogError`."""

    def lines() -> Iterator[bytes]:
        try:
            with file.open("rb") as lines_file:
                yield from lines_file
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error

    async with _open_store(source) as (store, cluster):
        try:
            counts = await transfer.import_(store, lines)
        except transfer.Broken as error:
            raise LogError(f"{file}, {error}; nothing was imported") from error
        if cluster is not None:  # a process with a folder finds them when it starts
            for run in counts.open:
                await cluster.engine().offer(run)
    _say("imported", counts)


@contextmanager
def _new_file(file: Path) -> Generator[IO[bytes], None, None]:
    """A new file that only its owner may read; removed again if it does not become complete."""
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
async def _open_store(source: str) -> AsyncGenerator[RunStore, None]:
    """The engine of the server of a configuration file, or of `module:app`."""
    place = place_of(source)
    engine = stores.engine(place.config, place.data)
    await engine.store.open()
    try:
        yield engine
    finally:
        await engine.store.close()


def _say(what: str, counts: TransferCounts) -> None:
    not_ended = f" ({len(counts.open)} not ended)" if counts.open else ""
    typer.echo(
        f"{what}: {counts.runs} runs{not_ended}, {counts.events} events, {counts.records} records"
    )
