"""What all tests share: hypothesis' profile, how long is waited, that the longest begin first, and servers
that start quickly and end with the tests."""

from __future__ import annotations

import os

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import engine

from tests.support.forks import Forks, shared
from tests.support.patience import (
    pytest_runtest_protocol,
    pytest_timeout_cancel_timer,
    pytest_timeout_set_timer,
)
from tests.support.servers import ChildServer

__all__ = ["pytest_runtest_protocol", "pytest_timeout_cancel_timer", "pytest_timeout_set_timer"]

settings.register_profile(
    "tailrace",
    deadline=None,  # a loaded machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
    max_examples=int(os.environ.get("TAILRACE_EXAMPLES", "30")),
    print_blob=True,
)
settings.load_profile("tailrace")
engine.MAX_SHRINKING_SECONDS = 30
"""A failure is shown before its test has to end (`patience.PROPERTY_SECONDS`); it was 300."""

for part in (
    "connect",
    "read",
    "write",
    "pool",
):  # they are five seconds: too few on a busy machine
    setattr(DEFAULT_TIMEOUT_CONFIG, part, 60.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of more than a minute that begins last is waited for by everybody."""
    items.sort(key=lambda item: "tests/soak/" not in item.nodeid)


def pytest_sessionfinish() -> None:
    """Whatever a test has left behind ends with this process."""
    ChildServer.end_all()


@pytest.fixture(scope="session")
def forks() -> Forks:
    """What servers are forked of."""
    return shared()
