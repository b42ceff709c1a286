"""What all tests share: hypothesis' profile, and that the longest begin first."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "tailrace",
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=60,
)
settings.load_profile("tailrace")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of more than a minute that begins last is waited for by everybody."""
    items.sort(key=lambda item: "tests/soak/" not in item.nodeid)
