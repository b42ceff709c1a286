"""From the configuration to the store of its runs, and this process's membership in a cluster."""

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
"""Full waits for a person that a run may have before its engine deletes its first events. An engine that
deletes by age keeps events for these, for `max_run_hours` and for `retention_hours`; the sweeper usually
deletes earlier."""


class RunStore(NamedTuple):
    """A store that is not open yet, and this process's membership in the cluster, if there is one."""

    store: Store
    cluster: Membership | None


def settings(config: Config, data: Path, *, wait: float = 0.0) -> StoreSettings:
    """The settings of the engine at the configured URL, or else of the default one in the folder `data`.
    Opening it waits up to `wait` seconds for another process, or for servers. Raises `ConfigError`."""
    engine = config.engine
    if engine.url:
        registry.check(engine.url)  # a command's option has not been checked yet
    kept_seconds = int((config.server.max_run_hours + config.server.retention_hours) * 3600)
    return StoreSettings(
        url=engine.url or registry.DEFAULT,
        folder=data,
        name=engine.name,
        shards=engine.shards,
        replicas=engine.replicas,
        kept_seconds=kept_seconds + WAITS * RunSettings().waiting // 1000,
        lease_seconds=engine.lease_seconds,
        wait_seconds=wait,
    )


def engine(config: Config, data: Path, *, role: Role = "all", wait: float = 0.0) -> RunStore:
    """The configured engine; `data` and `wait` as for `settings`. Raises `ConfigError`."""
    store_settings = settings(config, data, wait=wait)
    store, work = registry.driver(store_settings.url).parts(store_settings)
    if work is not None:
        return RunStore(store, Membership(work, works=role != "api"))
    if role != "all":
        raise ConfigError(
            f"--role {role} needs an engine that processes can share: --engine {registry.shared_forms()}"
        )
    return RunStore(store, None)


def side_records(config: Config, data: Path, *, wait: float = 0.0) -> Records:
    """The records of the configured engine, for a command that runs beside its servers; `data` and `wait` as
    for `settings`. Raises `ConfigError`."""
    store_settings = settings(config, data, wait=wait)
    return registry.driver(store_settings.url).side_records(store_settings)


def inspect(config: Config, data: Path) -> AbstractAsyncContextManager[Inspection]:
    """A read-only view of the configured engine, beside its servers. Raises `ConfigError`, `LogError`."""
    store_settings = settings(config, data)
    return registry.driver(store_settings.url).inspect(store_settings)


async def create(config: Config) -> Sequence[str]:
    """Create the shared streams of a cluster if they are missing. Returns sentences for the operator. Raises
    `ConfigError`, `LogError`."""
    store_settings = settings(config, Path())
    return await registry.driver(store_settings.url).create(store_settings)


async def unsafe(config: Config, monitors: Sequence[str]) -> Sequence[str]:
    """A sentence for each unsafe setting of the shared streams; `monitors` as for `StoreDriver.unsafe`.
    Raises `ConfigError`, `LogError`."""
    store_settings = settings(config, Path())
    return await registry.driver(store_settings.url).unsafe(store_settings, monitors)
