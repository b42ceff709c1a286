"""From the configuration to the engine that keeps its runs, and this process's part in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from tailrace.config import Config
from tailrace.errors import ConfigError
from tailrace.log.contract import Records, Store
from tailrace.log.stores import registry
from tailrace.log.stores.driver import Inspection, StoreSettings
from tailrace.runs.membership import Membership
from tailrace.runs.settings import Role, RunSettings


def clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


WAITS = 4
"""How often a run may wait for a person as long as one may, before the servers forget how it began: they keep
events as long as that, and as it may work and be kept. Who forgets sooner, as he should, is the sweeper."""


class Engine(NamedTuple):
    """A store, not open yet, and the part that this process has in a cluster, if there is one."""

    store: Store
    cluster: Membership | None


def settings(config: Config, data: Path, *, wait: float = 0.0) -> StoreSettings:
    """What the configuration says of its engine: the one behind its URL, or else the default one in the
    folder `data`. `wait` is how many seconds opening waits for another process, or for servers. Raises
    `ConfigError`."""
    engine = config.engine
    if engine.url:
        registry.check(
            engine.url
        )  # it may be an option of a command, which no configuration's check has seen
    kept = int((config.server.max_run_hours + config.server.retention_hours) * 3600)
    return StoreSettings(
        url=engine.url or registry.DEFAULT,
        folder=data,
        name=engine.name,
        shards=engine.shards,
        replicas=engine.replicas,
        kept_seconds=kept + WAITS * RunSettings().waiting // 1000,
        lease_seconds=engine.lease_seconds,
        wait_seconds=wait,
    )


def engine(config: Config, data: Path, *, role: Role = "all", wait: float = 0.0) -> Engine:
    """The configured engine; `data` and `wait` as for `settings`. Raises `ConfigError`."""
    found = settings(config, data, wait=wait)
    store, work = registry.driver(found.url).parts(found)
    if work is not None:
        return Engine(store, Membership(work, works=role != "api"))
    if role != "all":
        raise ConfigError(
            f"--role {role} needs an engine that processes can share: --engine nats://…"
        )
    return Engine(store, None)


def side_records(config: Config, data: Path, *, wait: float = 0.0) -> Records:
    """The records of the configured engine, also while servers use it; `data` and `wait` as for `settings`.
    Raises `ConfigError`."""
    found = settings(config, data, wait=wait)
    return registry.driver(found.url).side_records(found)


def inspect(config: Config, data: Path) -> AbstractAsyncContextManager[Inspection]:
    """What the configured engine keeps, beside the servers that use it. Raises `ConfigError`, `LogError`."""
    found = settings(config, data)
    return registry.driver(found.url).inspect(found)


async def create(config: Config) -> Sequence[str]:
    """Make what processes share, where it is missing. Returns a sentence about each thing that an operator
    should know. Raises `ConfigError`, `LogError`."""
    found = settings(config, Path())
    return await registry.driver(found.url).create(found)


async def unsafe(config: Config, monitors: Sequence[str]) -> Sequence[str]:
    """A sentence for each thing that is unsafe about what processes share; `monitors` as for
    `StoreDriver.unsafe`. Raises `ConfigError`, `LogError`."""
    found = settings(config, Path())
    return await registry.driver(found.url).unsafe(found, monitors)
