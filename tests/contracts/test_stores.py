"""The log contract, over every store."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tailrace.log.contract import Store
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.stores.sqlite.schema import FILE
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.contracts.limits_contract import LimitsContract
from tests.contracts.log_contract import FACTORIES, Hold, LogContract


class TestStores(LogContract):
    """Memory and SQLite keep the same promises."""

    def takes_barriers(self, store: Store) -> bool:
        return not isinstance(store, SqliteStore)

    @pytest.fixture(params=FACTORIES)
    async def store(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncGenerator[Store, None]:
        made = FACTORIES[request.param](tmp_path / "data")
        await made.open()
        yield made
        await made.close()

    @pytest.fixture
    def hold(self, store: Store, tmp_path: Path) -> Hold:
        """Another connection holds the write lock."""
        if isinstance(store, MemoryStore):
            pytest.skip("an append to memory is complete when it returns")
        assert isinstance(store, SqliteStore), "another engine needs a way to stop its commits"

        @contextmanager
        def held() -> Generator[None, None, None]:
            with closing(
                sqlite3.connect(tmp_path / "data" / FILE, isolation_level=None)
            ) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield

        return held


class TestLimits(LimitsContract):
    """The counts are in memory and SQLite."""

    @pytest.fixture(params=FACTORIES)
    async def stores(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncGenerator[Sequence[Store], None]:
        made = FACTORIES[request.param](tmp_path / "data")
        await made.open()
        yield [made, made]
        await made.close()
