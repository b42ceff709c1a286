"""The demo agent's tool."""

from __future__ import annotations

import asyncio

from tailrace.runtimes.tools.functions import tool

FORECASTS = {"Oslo": "2 °C, snow", "Lisbon": "19 °C, sunny"}


@tool(idempotent=True)
async def forecast(city: str) -> dict[str, str]:
    """Tomorrow's weather in a city."""
    await asyncio.sleep(0.6)  # as if it had to be looked up
    return {"city": city, "tomorrow": FORECASTS.get(city, "unknown")}
