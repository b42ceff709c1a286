"""What the crash tests share."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.forks import Forks, forking


@pytest.fixture(scope="session")
def forks() -> Generator[Forks, None, None]:
    with forking() as made:
        yield made
