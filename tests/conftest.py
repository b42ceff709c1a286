"""What all tests share: hypothesis' profile."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tailrace",
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
)
settings.load_profile("tailrace")
