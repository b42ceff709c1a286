"""Common settings of all tests: hypothesis' profile, timeouts, the order of tests, and servers that start
quickly and end with the tests."""

from __future__ import annotations

import os
from functools import cache
from zlib import crc32

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG, create_ssl_context
from httpx._transports import default as transports
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
    deadline=None,  # a loaded machine is not a failure
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
    max_examples=int(os.environ.get("TAILRACE_EXAMPLES", "30")),
    print_blob=True,
)
settings.load_profile("tailrace")
engine.MAX_SHRINKING_SECONDS = 30
"""A failure must be shown before its test ends (`patience.PROPERTY_SECONDS`); the default is 300."""

LONG = ("tests/soak/", "tests/test_packages.py", "tests/log/stores/nats/test_faults.py")

for part in (
    "connect",
    "read",
    "write",
    "pool",
):  # the default of five seconds is too short on a busy machine
    setattr(DEFAULT_TIMEOUT_CONFIG, part, 60.0)

setattr(transports, "create_ssl_context", cache(create_ssl_context))  # noqa: B010
"""Otherwise each client reads some hundred certificates (16 ms); tests create thousands that need none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start long tests first, because the whole session waits for the last test. Spread modules whose tests
    wait for servers among modules whose tests compute, so that each core has work."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, int]:
    module = item.nodeid.partition("::")[0]
    return not module.startswith(LONG), crc32(module.encode())


def pytest_sessionfinish() -> None:
    """Servers that a test has left behind end with this process."""
    ChildServer.end_all()


@pytest.fixture(scope="session")
def forks() -> Forks:
    """The process from which servers are forked."""
    return shared()
