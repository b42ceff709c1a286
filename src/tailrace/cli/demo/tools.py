"""The tools of the demo's agents."""

from __future__ import annotations

import asyncio

from tailrace.runtimes.tools.functions import tool

FORECASTS = {"Oslo": "2 °C, snow", "Lisbon": "19 °C, sunny"}


@tool(idempotent=True)
async def forecast(city: str) -> dict[str, str]:
    """Tomorrow's weather in a city."""
    await asyncio.sleep(0.6)  # as if it had to be looked up
    return {"city": city, "tomorrow": FORECASTS.get(city, "unknown")}


async def book(city: str, nights: int) -> dict[str, str]:
    """Book a hotel. Costs money, so a person is asked first."""
    await asyncio.sleep(0.4)
    return {"booked": f"{nights} nights in {city}"}
