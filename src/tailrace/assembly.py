"""From a configuration to a server's parts: the runtimes and models that it means, over a store."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette

from tailrace.assembly_auth import gate, secret
from tailrace.assembly_models import models
from tailrace.assembly_stores import clock
from tailrace.assembly_workflows import workflow_of
from tailrace.config import AgentConfig, Config, McpConfig, nearest
from tailrace.errors import ConfigError
from tailrace.events.request import OutputFormat
from tailrace.events.schema_shapes import fault
from tailrace.http.app import create_app, create_health_app
from tailrace.http.bodies import Bodies
from tailrace.http.edge import Edge, Instance
from tailrace.http.event_stream import Streams, StreamSettings
from tailrace.http.health import Health
from tailrace.http.life import Life
from tailrace.log.contract import Store
from tailrace.log.stores import registry
from tailrace.log.stores.driver import StoreSettings
from tailrace.models.contract import Model
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.retention import Sweeper
from tailrace.runs.settings import HOUR, RunSettings
from tailrace.runs.supervisor import Supervisor
from tailrace.runtimes.adapters.recognise import runtime_for
from tailrace.runtimes.agent import Agent, AgentLimits
from tailrace.runtimes.contract import KeepsCheckpoints, Runtime
from tailrace.runtimes.gateway import Gateway
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.contract import Tool, ToolSource
from tailrace.runtimes.tools.dispatch import ASK_USER, TASK
from tailrace.runtimes.tools.functions import FunctionTool
from tailrace.service.catalog import Catalog, Target
from tailrace.service.documents import Documents
from tailrace.service.projection import Projections
from tailrace.service.readers import Readers
from tailrace.service.run_service import RunService

if TYPE_CHECKING:
    from tailrace.runs.membership import Membership
    from tailrace.runtimes.tools.mcp import McpServer


def runtimes(
    config: Config,
    known: Mapping[str, Model],
    servers: Mapping[str, Sequence[ToolSource]],
) -> dict[str, Runtime]:
    """What can be run, by name: the agents with their MCP `servers`, workflows, every model as it is."""
    made: dict[str, Runtime] = {name: Gateway(model) for name, model in known.items()}
    if config.agents:
        import_from(config.folder)
    agents: dict[str, Agent] = {}
    for name, agent in config.agents.items():
        if agent.entry:
            made[name] = entry(name, agent)
        else:
            made[name] = one_agent(agent_of(name, config, known, servers, agents), known)
    for name, workflow in config.workflows.items():
        made[name] = workflow_of(
            name,
            workflow,
            config,
            known,
            lambda agent: agent_of(agent, config, known, servers, agents),
        )
    return made


def entry(name: str, agent: AgentConfig) -> Runtime:
    """Somebody's own agent, by its import path. Raises `ConfigError`."""
    where = f"[agents.{name}] entry {agent.entry!r}"
    thing = imported(where, agent.entry)
    try:
        return runtime_for(thing, name, agent.max_turns)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def agent_of(
    name: str,
    config: Config,
    known: Mapping[str, Model],
    servers: Mapping[str, Sequence[ToolSource]],
    made: dict[str, Agent],
) -> Agent:
    """A built-in agent with all below it, each made once. `config` has no circles. Raises `ConfigError`."""
    if name in made:
        return made[name]
    agent = config.agents[name]
    made[name] = Agent(
        name=name,
        model=known[agent.model],
        description=agent.description,
        instructions=agent.instructions,
        tools=tools_of(name, agent),
        sources=servers[name],
        subagents={
            below: agent_of(below, config, known, servers, made) for below in agent.subagents
        },
        asks_user=agent.ask_user,
        output=output_of(name, agent),
        context_tokens=agent.context_tokens,
        limits=AgentLimits(
            turns=agent.max_turns or AgentLimits().turns,
            tool_calls=agent.max_tool_calls,
            tokens=agent.max_tokens,
            seconds=agent.max_seconds,
            cost=agent.max_cost,
        ),
    )
    return made[name]


def output_of(name: str, agent: AgentConfig) -> OutputFormat | None:
    """The form of an agent's answers, if it has one. Raises `ConfigError`."""
    if not agent.output_schema:
        return None
    if wrong := fault(agent.output_schema):
        raise ConfigError(f"[agents.{name}] output_schema cannot be used: {wrong}")
    return OutputFormat(
        kind="json_schema", name=re.sub(r"\W", "_", name), schema=agent.output_schema
    )


def instance(
    config: Config,
    store: Store,
    more: Mapping[str, Runtime] | None = None,
    *,
    open: bool = True,
    cluster: Membership | None = None,
) -> Instance:
    """A server over a store, with `more` agents that were made in Python. `open`: whether it may
    stand open while there are no tokens; `cluster`: its part in one. Raises `ConfigError`."""
    added = dict(more or {})
    settings = RunSettings(
        kept=int(config.server.retention_hours * HOUR),
        longest_seconds=config.server.max_run_hours * 3600,
        stuck_attempts=config.server.max_attempts,
        grace=dict.fromkeys(("chat", "messages"), config.server.chat_grace_seconds),
        shutdown_seconds=config.server.shutdown_seconds,
        bounds=config.limits.run,
        most_runs=config.server.max_runs,
        block_seconds=_block_seconds(config, shared=cluster is not None),
    )
    known = models(config)
    servers = mcp_servers(config)
    directory = Directory(store)
    conversations = Conversations(store, directory, clock, cluster)
    sweeper = Sweeper(store, directory, conversations, settings, clock)
    made = {**runtimes(config, known, servers), **added}
    for runtime in made.values():
        if isinstance(runtime, KeepsCheckpoints):
            runtime.keep_in(store)
    supervisor = Supervisor(
        store, made, directory, conversations, sweeper, settings, clock, cluster
    )
    targets = [
        *(Target(name, "agent", agent.id) for name, agent in config.agents.items()),
        *(Target(name, "agent", workflow.id) for name, workflow in config.workflows.items()),
        *(Target(name, "agent") for name in added),
        *(Target(name, "model") for name in config.models),
    ]
    streams = Streams(
        StreamSettings(
            heartbeat_seconds=config.server.heartbeat_seconds,
            write_seconds=config.server.write_timeout_seconds,
        )
    )
    service = RunService(
        supervisor=supervisor,
        directory=directory,
        conversations=conversations,
        documents=Documents(directory, config.limits.document_bytes),
        catalog=Catalog(targets),
        projections=Projections(store),
        readers=Readers(),
        waits=streams,
        hold_seconds=streams.settings.heartbeat_seconds,
    )
    edge = Edge(
        gate=gate(config, store, clock, open=open),
        streams=streams,
        health=Health(store, supervisor),
        bodies=Bodies(config.server.max_body_bytes),
        life=Life(supervisor, streams, lambda: _close(known, servers)),
        extension_key=config.server.extension_key,
        functions=config.server.agent_calls == "function_call",
    )
    return Instance(service, edge)


def _block_seconds(config: Config, *, shared: bool) -> float:
    """How long a run may hold the event loop: in a cluster, never until all runs of a worker are lost."""
    longest = RunSettings().block_seconds
    return min(longest, max(config.engine.lease_seconds / 2, 1.0)) if shared else longest


def application(config: Config, made: Instance, *, surfaces: bool = True) -> Starlette:
    """The ASGI application over a server; without `surfaces` only its health."""
    return create_app(made, config.server.cors_origins) if surfaces else create_health_app(made)


def memory_store() -> Store:
    """An engine that keeps nothing."""
    found = StoreSettings(url=registry.MEMORY, folder=Path())
    return registry.driver(found.url).parts(found).store


async def _close(known: Mapping[str, Model], servers: Mapping[str, Sequence[ToolSource]]) -> None:
    for model in known.values():
        await model.close()
    for server in {id(each): each for some in servers.values() for each in some}.values():
        await server.close()


def import_from(folder: Path) -> None:
    """Let an agent's tools lie beside the configuration."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)


def tools_of(name: str, agent: AgentConfig) -> dict[str, Tool]:
    """The functions that an agent may call. Raises `ConfigError`."""
    made = [tool(f"[agents.{name}] tool {path!r}", path) for path in agent.tools]
    tools = {tool.name: tool for tool in made}
    if len(tools) < len(made):
        raise ConfigError(f"[agents.{name}] two of its tools have the same name")
    for ours, taken in ((TASK, bool(agent.subagents)), (ASK_USER, agent.ask_user)):
        if taken and ours in tools:
            raise ConfigError(f"[agents.{name}] a tool of yours cannot be named {ours!r} here")
    for asked in agent.approve:
        if asked not in tools:
            raise ConfigError(f"[agents.{name}] approve: no tool {asked!r}{nearest(asked, tools)}")
        tools[asked].approval = True
    return dict(tools)


def mcp_servers(config: Config) -> dict[str, tuple[McpServer, ...]]:
    """Each agent's MCP servers; agents with the same entry share the server. Raises `ConfigError`."""
    made: dict[bytes, McpServer] = {}
    found: dict[str, tuple[McpServer, ...]] = {}
    for name, agent in config.agents.items():
        servers: list[McpServer] = []
        for entry in agent.mcp:
            key = msgspec.json.encode(entry, order="deterministic")
            if key not in made:
                where = f"[agents.{name}] mcp {entry.label!r}"
                made[key] = _mcp_server(where, entry, config)
            servers.append(made[key])
        found[name] = tuple(servers)
    return found


def _mcp_server(where: str, entry: McpConfig, config: Config) -> McpServer:
    if importlib.util.find_spec("mcp") is None:
        raise ConfigError(f"{where}: MCP needs more packages: pip install 'tailrace[mcp]'")
    headers = dict(entry.headers)
    for header, variable in entry.header_env.items():
        headers[header] = secret(f"{where}:", variable)
    from tailrace.runtimes.tools.mcp import McpServer  # few agents have one

    return McpServer(
        entry.label,
        url=entry.url,
        command=entry.command,
        args=entry.args,
        env=entry.env,
        cwd=str(config.folder.resolve()),
        private=config.server.allow_private,
        headers=headers,
        allow=entry.allow,
        approval=entry.approval,
        timeout=entry.timeout,
    )


def tool(where: str, path: str) -> FunctionTool:
    """A function as a tool, by its import path. Raises `ConfigError`."""
    function = imported(where, path)
    if not callable(function):
        raise ConfigError(f"{where}: a {type(function).__name__} is not a function")
    try:
        return FunctionTool(function)
    except (TypeError, NameError) as error:
        raise ConfigError(f"{where}: {error}") from None


def imported(where: str, path: str) -> object:
    """The object `module:name`. Raises `ConfigError`; what user code raises is told in one line."""
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # user code: importing it may raise anything
        raise ConfigError(f"{where}: cannot import {module_name}: {error}") from None
    if not hasattr(module, name):
        hint = nearest(name, [n for n in dir(module) if not n.startswith("_")])
        raise ConfigError(f"{where}: {module_name} has no {name}{hint}")
    return getattr(module, name)
