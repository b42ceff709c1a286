"""The log contract, over every store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from tailrace.log.contract import Store
from tests.contracts.limits_contract import LimitsContract
from tests.contracts.log_contract import FACTORIES, LogContract


class TestStores(LogContract):
    """Memory and SQLite keep the same promises."""

    @pytest.fixture(params=FACTORIES)
    async def store(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncGenerator[Store, None]:
        made = FACTORIES[request.param](tmp_path / "data")
        await made.open()
        yield made
        await made.close()


class TestLimits(LimitsContract):
    """Counted through memory and SQLite."""

    @pytest.fixture(params=FACTORIES)
    async def stores(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncGenerator[Sequence[Store], None]:
        made = FACTORIES[request.param](tmp_path / "data")
        await made.open()
        yield [made, made]
        await made.close()
