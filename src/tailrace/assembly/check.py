"""The faults of a configuration that its assembly would find, each with its place; for `tailrace check`.

Each part is assembled alone, so that a fault of one hides none of another. Nothing is opened or started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import Struct

from tailrace.assembly import agents, auth, tools
from tailrace.assembly.models import models
from tailrace.assembly.workflows import workflow_of
from tailrace.config import AgentConfig, Config
from tailrace.errors import ConfigError
from tailrace.models.contract import Model
from tailrace.runtimes.agent import Agent


class ConfigFault(Struct, frozen=True):
    """A fault of a key in a table of the file; `near` is a text by which its line is found."""

    message: str
    table: str
    key: str = ""
    near: str = ""


class _Missing(Exception):
    """Another part that this one needs has a fault of its own."""


def faults(config: Config, *, workflows: bool) -> Iterator[ConfigFault]:
    """The faults, also of a configuration that `config.read` has found faults in; then without `workflows`.
    Imports the agents' modules."""
    messages: set[str] = set()
    for fault in _all(config, workflows=workflows):
        if fault.message not in messages:  # an agent has the faults of its parts
            messages.add(fault.message)
            yield fault


def _all(config: Config, *, workflows: bool) -> Iterator[ConfigFault]:
    if config.agents:
        tools.import_from(config.folder)
    if config.auth.jwt is not None and (variable := config.auth.jwt.secret_env):
        secret = partial(auth.secret, "[auth.jwt]", variable)
        yield from _faults_of(secret, "auth.jwt", "secret_env")
    by_name: dict[str, Model] = {}
    for name, model in config.models.items():
        key = "api_key_env" if model.api_key_env else "scenario" if model.scenario else "file"
        yield from _faults_of(partial(_model, name, config, by_name), f"models.{name}", key)
    for name, agent in config.agents.items():
        yield from _of_agent(name, agent, config)
    agents_by_name: dict[str, Agent] = {}
    for name, workflow in config.workflows.items() if workflows else ():
        agent_of = partial(_agent, config=config, models=by_name, agents_by_name=agents_by_name)
        make = partial(workflow_of, name, workflow, config, by_name, agent_of)
        yield from _faults_of(make, f"workflows.{name}", "nodes")


def _of_agent(name: str, agent: AgentConfig, config: Config) -> Iterator[ConfigFault]:
    """The faults of the parts of an agent."""
    table, where = f"agents.{name}", f"[agents.{name}]"
    if agent.entry:
        yield from _faults_of(partial(agents.entry, name, agent), table, "entry")
    for tool in agent.tools:
        make = partial(tools.function_tool, f"{where} tool {tool!r}", tool)
        yield from _faults_of(make, table, "tools", tool)
    yield from _faults_of(partial(tools.function_tools, name, agent), table, "approve")
    yield from _faults_of(partial(agents.output_format, name, agent), table, "output_schema")
    for server in agent.mcp:
        one = msgspec.structs.replace(agent, mcp=(server,))
        servers = partial(tools.mcp_servers, _with(config, name, one))
        yield from _faults_of(servers, table, "mcp", server.label)


def _with(config: Config, name: str, agent: AgentConfig) -> Config:
    return msgspec.structs.replace(config, agents={name: agent})


def _model(name: str, config: Config, by_name: dict[str, Model]) -> None:
    one = msgspec.structs.replace(config, models={name: config.models[name]})
    by_name.update(models(one))


def _agent(
    name: str, config: Config, models: Mapping[str, Model], agents_by_name: dict[str, Agent]
) -> Agent:
    """An agent, as `agents.runtimes` makes it, of the models that have no fault."""
    servers = dict.fromkeys(config.agents, ())
    try:
        return agents.agent_of(name, config, models, servers, agents_by_name)
    except KeyError:  # a model or a subagent with a fault
        raise _Missing from None


def _faults_of(
    make: Callable[[], object], table: str, key: str = "", near: str = ""
) -> Iterator[ConfigFault]:
    message = ""
    with suppress(_Missing):
        try:
            make()
        except ConfigError as error:
            message = str(error)
    if message:
        yield ConfigFault(message, table, key, near)
