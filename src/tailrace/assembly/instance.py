"""From a configuration and a store to a server: the operations on runs, their HTTP edge, and the
lifecycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from tailrace.assembly.agents import runtimes
from tailrace.assembly.auth import gate
from tailrace.assembly.models import models
from tailrace.assembly.stores import clock
from tailrace.assembly.tools import mcp_servers
from tailrace.config import Config
from tailrace.http.app import create_app, create_health_app
from tailrace.http.bodies import Bodies
from tailrace.http.event_stream import StreamSettings
from tailrace.http.health import Health
from tailrace.http.instance import Edge, Instance
from tailrace.log.contract import Store
from tailrace.log.stores import registry
from tailrace.log.stores.driver import StoreSettings
from tailrace.models.contract import Model
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.executor import RunEnvironment
from tailrace.runs.retention import Sweeper
from tailrace.runs.settings import HOUR, RunSettings
from tailrace.runs.supervisor import Supervisor
from tailrace.runtimes.contract import KeepsCheckpoints, Runtime
from tailrace.runtimes.tools.contract import ToolSource
from tailrace.service.catalog import Catalog, Target
from tailrace.service.documents import Documents
from tailrace.service.lifecycle import Lifecycle, Lifespan, Shutdown
from tailrace.service.projection import Projections
from tailrace.service.readers import ReaderLimits
from tailrace.service.run_service import RunService
from tailrace.service.stored_runs import StoredRuns

if TYPE_CHECKING:
    from tailrace.runs.membership import Membership


def assemble(
    config: Config,
    store: Store,
    agents: Mapping[str, Runtime] | None = None,
    *,
    open: bool = True,
    cluster: Membership | None = None,
    lifespan: Lifespan | None = None,
) -> Instance:
    """A server over a store that is not open yet. `agents` were added in Python, besides those of the
    configuration. `open`: whether requests without a key are allowed while there are no tokens. `cluster`:
    this process's membership in a cluster. `lifespan` is the application's own start and stop. Raises
    `ConfigError`."""
    python_agents = dict(agents or {})
    by_name = models(config)
    servers = mcp_servers(config)
    all_runtimes = {**runtimes(config, by_name, servers), **python_agents}
    for runtime in all_runtimes.values():
        if isinstance(runtime, KeepsCheckpoints):
            runtime.keep_in(store)
    runs = _stored_runs(config, store, all_runtimes, cluster)
    shutdown = Shutdown()
    stream_settings = StreamSettings(
        heartbeat_seconds=config.server.heartbeat_seconds,
        write_seconds=config.server.write_timeout_seconds,
    )
    service = RunService(
        runs=runs,
        catalog=Catalog(_targets(config, python_agents)),
        projections=Projections(store),
        readers=ReaderLimits(),
        shutdown=shutdown,
        hold_seconds=stream_settings.heartbeat_seconds,
    )
    edge = Edge(
        gate=gate(config, store, clock, open=open),
        bodies=Bodies(config.server.max_body_bytes),
        health=Health(store, runs.supervisor),
        shutdown=shutdown,
        stream_settings=stream_settings,
        extension_key=config.server.extension_key,
        functions=config.server.agent_calls == "function_call",
    )
    lifecycle = Lifecycle(runs.supervisor, shutdown, lambda: _release(by_name, servers), lifespan)
    return Instance(service, edge, lifecycle)


def application(config: Config, instance: Instance, *, surfaces: bool = True) -> Starlette:
    """The ASGI application of a server; without `surfaces` only its health endpoints."""
    if surfaces:
        return create_app(instance, config.server.cors_origins)
    return create_health_app(instance)


def memory_store() -> Store:
    """A store in memory, which is lost with the process."""
    settings = StoreSettings(url=registry.MEMORY, folder=Path())
    return registry.driver(settings.url).parts(settings).store


def _stored_runs(
    config: Config, store: Store, runtimes: Mapping[str, Runtime], cluster: Membership | None
) -> StoredRuns:
    settings = RunSettings(
        retention_ms=int(config.server.retention_hours * HOUR),
        longest_seconds=config.server.max_run_hours * 3600,
        stuck_attempts=config.server.max_attempts,
        grace=dict.fromkeys(("chat", "messages"), config.server.chat_grace_seconds),
        shutdown_seconds=config.server.shutdown_seconds,
        bounds=config.limits.run,
        most_runs=config.server.max_runs,
        block_seconds=_block_seconds(config, in_cluster=cluster is not None),
    )
    directory = Directory(store)
    conversations = Conversations(store, directory, clock, cluster)
    sweeper = Sweeper(store, directory, conversations, settings, clock)
    environment = RunEnvironment(store, runtimes, directory, settings, clock)
    supervisor = Supervisor(environment, conversations, sweeper, cluster)
    documents = Documents(directory, config.limits.document_bytes)
    return StoredRuns(supervisor, directory, conversations, documents)


def _targets(config: Config, python_agents: Mapping[str, Runtime]) -> list[Target]:
    return [
        *(Target(name, "agent", agent.id) for name, agent in config.agents.items()),
        *(Target(name, "agent", workflow.id) for name, workflow in config.workflows.items()),
        *(Target(name, "agent") for name in python_agents),
        *(Target(name, "model") for name in config.models),
    ]


def _block_seconds(config: Config, *, in_cluster: bool) -> float:
    """The time for which a run may block the event loop. In a cluster it is less than a lease, or a worker
    would lose all its runs."""
    longest = RunSettings().block_seconds
    return min(longest, max(config.engine.lease_seconds / 2, 1.0)) if in_cluster else longest


async def _release(
    models: Mapping[str, Model], servers: Mapping[str, Sequence[ToolSource]]
) -> None:
    for model in models.values():
        await model.close()
    for server in {id(each): each for some in servers.values() for each in some}.values():
        await server.close()
