"""The demo's tools answer what its page promises."""

from __future__ import annotations

from tailrace.cli.demo.tools import FORECASTS, book, forecast


async def test_a_forecast_names_the_city() -> None:
    for city, weather in FORECASTS.items():
        assert await forecast(city) == {"city": city, "tomorrow": weather}
    assert await forecast("Atlantis") == {"city": "Atlantis", "tomorrow": "unknown"}


async def test_a_booking_repeats_what_was_booked() -> None:
    assert await book("Oslo", 2) == {"booked": "2 nights in Oslo"}
