"""From a configuration to its runtimes: agents, workflows, and models served without an agent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from tailrace.assembly.tools import function_tools, import_from, import_object
from tailrace.assembly.workflows import workflow_of
from tailrace.config import AgentConfig, Config
from tailrace.errors import ConfigError
from tailrace.events import schema_shapes
from tailrace.events.request import OutputFormat
from tailrace.models.contract import Model
from tailrace.runtimes import variables
from tailrace.runtimes.adapters.recognise import runtime_for
from tailrace.runtimes.agent import Agent, AgentLimits
from tailrace.runtimes.contract import Runtime
from tailrace.runtimes.gateway import Gateway
from tailrace.runtimes.one_agent import one_agent
from tailrace.runtimes.tools.contract import ToolSource


def runtimes(
    config: Config, models: Mapping[str, Model], servers: Mapping[str, Sequence[ToolSource]]
) -> dict[str, Runtime]:
    """The runtimes by name: agents, with the MCP `servers` of each, workflows, and a gateway to each model.
    Raises `ConfigError`."""
    by_name: dict[str, Runtime] = {name: Gateway(model) for name, model in models.items()}
    if config.agents:
        import_from(config.folder)
    agents: dict[str, Agent] = {}
    for name, agent in config.agents.items():
        if agent.entry:
            by_name[name] = entry(name, agent)
        else:
            by_name[name] = one_agent(agent_of(name, config, models, servers, agents), models)
    for name, workflow in config.workflows.items():
        by_name[name] = workflow_of(
            name,
            workflow,
            config,
            models,
            lambda agent: agent_of(agent, config, models, servers, agents),
        )
    return by_name


def entry(name: str, agent: AgentConfig) -> Runtime:
    """The runtime of an agent that is a Python object, by its import path. Raises `ConfigError`."""
    where = f"[agents.{name}] entry {agent.entry!r}"
    thing = import_object(where, agent.entry)
    makers = {key: _maker(name, key, agent) for key in MAKERS}
    try:
        return runtime_for(
            thing,
            name,
            max_turns=agent.max_turns,
            keep_state=agent.keep_state,
            answer_nodes=agent.answer_nodes or None,
            **makers,
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


MAKERS = ("deps", "context", "config", "input")
"""Keys of an `entry` that name a function of the run's request."""


def _maker(name: str, key: str, agent: AgentConfig) -> object:
    path = getattr(agent, key)
    if not path:
        return None
    where = f"[agents.{name}] {key} {path!r}"
    maker = import_object(where, path)
    if not callable(maker) and not (key == "config" and isinstance(maker, Mapping)):
        raise ConfigError(f"{where}: a {type(maker).__name__} is not a function")
    return cast("object", maker)


def agent_of(
    name: str,
    config: Config,
    models: Mapping[str, Model],
    servers: Mapping[str, Sequence[ToolSource]],
    agents: dict[str, Agent],
) -> Agent:
    """A built-in agent with all its subagents. Each is made once and added to `agents`. `config` has no
    circles. Raises `ConfigError`."""
    if name in agents:
        return agents[name]
    agent = config.agents[name]
    run_headers = [header.lower() for header in config.server.run_headers]
    if fault := variables.fault(agent.instructions, run_headers):
        raise ConfigError(f"[agents.{name}] instructions: {fault}")
    agents[name] = Agent(
        name=name,
        model=models[agent.model],
        description=agent.description,
        instructions=agent.instructions,
        tools=function_tools(name, agent),
        sources=servers[name],
        subagents={
            below: agent_of(below, config, models, servers, agents) for below in agent.subagents
        },
        asks_user=agent.ask_user,
        output=output_format(name, agent),
        context_tokens=agent.context_tokens,
        limits=AgentLimits(
            turns=agent.max_turns or AgentLimits().turns,
            tool_calls=agent.max_tool_calls,
            tokens=agent.max_tokens,
            seconds=agent.max_seconds,
            cost=agent.max_cost,
        ),
    )
    return agents[name]


def output_format(name: str, agent: AgentConfig) -> OutputFormat | None:
    """The JSON schema of an agent's answers; None where it has none. Raises `ConfigError`."""
    if not agent.output_schema:
        return None
    if wrong := schema_shapes.fault(agent.output_schema):
        raise ConfigError(f"[agents.{name}] output_schema cannot be used: {wrong}")
    return OutputFormat(
        kind="json_schema", name=re.sub(r"\W", "_", name), schema=agent.output_schema
    )
