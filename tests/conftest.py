"""What all tests share: hypothesis' profile, that the longest begin first, and servers that start quickly."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forks import Forks, forking

settings.register_profile(
    "tailrace",
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("TAILRACE_EXAMPLES", "30")),
)
settings.load_profile("tailrace")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of more than a minute that begins last is waited for by everybody."""
    items.sort(key=lambda item: "tests/soak/" not in item.nodeid)


@pytest.fixture(scope="session")
def forks() -> Generator[Forks, None, None]:
    """For tests that start a server each and are not about its start."""
    with forking() as made:
        yield made
