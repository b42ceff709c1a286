"""From the configuration to the engine that keeps its runs, and this process's part in it.

Stores are imported where they are chosen: commands beside a server need none, and a server one of them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tailrace.config import Config
from tailrace.errors import ConfigError
from tailrace.log.contract import Records, Store
from tailrace.log.stores.nats import addresses
from tailrace.runs.settings import Role, RunSettings

if TYPE_CHECKING:
    from tailrace.log.stores.nats.layout import Layout
    from tailrace.runs.membership import Membership


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


def engine(config: Config, data: Path, *, role: Role = "all", wait: float = 0.0) -> Engine:
    """The configured engine: NATS servers, or else one SQLite file in the folder `data`, for which `wait`
    seconds are given to another process to let it go, or to servers to answer. Raises `ConfigError`."""
    if config.engine.url:
        return _nats(config, role, wait)
    if role != "all":
        raise ConfigError(
            f"--role {role} needs an engine that processes can share: --engine nats://…"
        )
    from tailrace.log.stores.sqlite import SqliteStore

    return Engine(SqliteStore(data, wait=wait), None)


def side_records(config: Config, data: Path, *, wait: float = 0.0) -> Records:
    """The records of the configured engine, also while servers use it; `wait` as for `engine`."""
    if not config.engine.url:
        from tailrace.log.stores.sqlite_side import SideRecords

        return SideRecords(data)
    servers, layout = nats(config)
    from tailrace.log.stores.nats.side import SideRecords as NatsSide

    return NatsSide(servers, layout, patience=wait)


def nats(config: Config) -> tuple[list[str], Layout]:
    """Where the servers are, and how the installation is laid out. Raises `ConfigError`."""
    try:
        from tailrace.log.stores.nats.layout import Layout
    except ImportError:
        raise ConfigError("[engine] url needs the extra: pip install 'tailrace[nats]'") from None
    engine = config.engine
    kept = int((config.server.max_run_hours + config.server.retention_hours) * 3600)
    layout = Layout(
        engine.name,
        engine.shards,
        engine.replicas,
        kept=kept + WAITS * RunSettings().waiting // 1000,
        lease=engine.lease_seconds,
    )
    return addresses.servers(engine.url), layout


def _nats(config: Config, role: Role, patience: float) -> Engine:
    servers, layout = nats(config)
    from tailrace.log.stores.nats.store import NatsStore
    from tailrace.runs.membership import Membership

    store = NatsStore(servers, layout, patience=patience)
    return Engine(store, Membership(lambda: store.work, works=role != "api"))
