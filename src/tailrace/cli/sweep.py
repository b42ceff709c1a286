"""`tailrace sweep`: confirm the clock, so that what is due expires with the next sweep."""

from __future__ import annotations

from pathlib import Path

import typer

from tailrace import assembly_stores, config
from tailrace.runs.sweeping import confirm


async def sweep(file: Path, data: Path | None) -> None:
    """Confirm the clock to the servers that keep their runs where `file` says, or in `data`. Raises
    `LogError`."""
    found = config.load(file)
    place = data or found.folder / found.server.data
    await confirm(assembly_stores.side_records(found, place), assembly_stores.clock())
    typer.echo("the clock is confirmed: what is due expires within a minute, where a server runs")
