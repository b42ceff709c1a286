"""`tailrace sweep`: confirm the clock, so that what is due expires with the next sweep."""

from __future__ import annotations

from pathlib import Path

import typer

from tailrace.assembly import stores
from tailrace.cli.sources import place_of
from tailrace.runs.sweeping import confirm


async def sweep(source: str, data: Path | None) -> None:
    """Confirm the clock to the servers of `source`, or of the folder `data`. Raises `ConfigError`,
    `LogError`."""
    place = place_of(source)
    records = stores.side_records(place.config, data or place.data)
    await confirm(records, stores.clock())
    typer.echo("the clock is confirmed: what is due expires within a minute, where a server runs")
