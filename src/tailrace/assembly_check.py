"""All that keeps a configuration from being assembled, each fault with its place; for `tailrace check`.

Each part is made by itself: what is wrong with one hides nothing of another. Nothing is opened or started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import Struct

from tailrace import assembly, assembly_auth
from tailrace.assembly_models import models
from tailrace.assembly_workflows import workflow_of
from tailrace.config import AgentConfig, Config
from tailrace.errors import ConfigError
from tailrace.models.contract import Model
from tailrace.runtimes.agent import Agent


class Fault(Struct, frozen=True):
    """What is wrong with the key of a table, where `near` stands."""

    message: str
    table: str
    key: str = ""
    near: str = ""


class _Missing(Exception):
    """Something that is needed is wrong itself."""


def faults(config: Config, *, workflows: bool) -> Iterator[Fault]:
    """What cannot be assembled, also of a configuration with faults of its own; `workflows` only of one
    without. Imports the agents' modules."""
    told: set[str] = set()
    for fault in _all(config, workflows=workflows):
        if fault.message not in told:  # what is wrong with a part is wrong with the whole
            told.add(fault.message)
            yield fault


def _all(config: Config, *, workflows: bool) -> Iterator[Fault]:
    if config.agents:
        assembly.import_from(config.folder)
    if config.auth.jwt is not None and (variable := config.auth.jwt.secret_env):
        secret = partial(assembly_auth.secret, "[auth.jwt]", variable)
        yield from _tried(secret, "auth.jwt", "secret_env")
    known: dict[str, Model] = {}
    for name, model in config.models.items():
        key = "api_key_env" if model.api_key_env else "scenario" if model.scenario else "file"
        yield from _tried(partial(_model, name, config, known), f"models.{name}", key)
    for name, agent in config.agents.items():
        yield from _of_agent(name, agent, config)
    made: dict[str, Agent] = {}
    for name, workflow in config.workflows.items() if workflows else ():
        agent_of = partial(_agent, config=config, known=known, made=made)
        make = partial(workflow_of, name, workflow, config, known, agent_of)
        yield from _tried(make, f"workflows.{name}", "nodes")


def _of_agent(name: str, agent: AgentConfig, config: Config) -> Iterator[Fault]:
    """What is wrong with the parts of an agent, each by itself."""
    table, where = f"agents.{name}", f"[agents.{name}]"
    if agent.entry:
        yield from _tried(partial(assembly.entry, name, agent), table, "entry")
    for tool in agent.tools:
        make = partial(assembly.tool, f"{where} tool {tool!r}", tool)
        yield from _tried(make, table, "tools", tool)
    yield from _tried(partial(assembly.tools_of, name, agent), table, "approve")
    yield from _tried(partial(assembly.output_of, name, agent), table, "output_schema")
    for server in agent.mcp:
        one = msgspec.structs.replace(agent, mcp=(server,))
        servers = partial(assembly.mcp_servers, _with(config, name, one))
        yield from _tried(servers, table, "mcp", server.label)


def _with(config: Config, name: str, agent: AgentConfig) -> Config:
    return msgspec.structs.replace(config, agents={name: agent})


def _model(name: str, config: Config, known: dict[str, Model]) -> None:
    one = msgspec.structs.replace(config, models={name: config.models[name]})
    known.update(models(one))


def _agent(name: str, config: Config, known: Mapping[str, Model], made: dict[str, Agent]) -> Agent:
    """An agent of what could be made, as `assembly.runtimes` makes it."""
    servers = dict.fromkeys(config.agents, ())
    try:
        return assembly.agent_of(name, config, known, servers, made)
    except KeyError:  # a model, or an agent below, that is wrong itself
        raise _Missing from None


def _tried(
    make: Callable[[], object], table: str, key: str = "", near: str = ""
) -> Iterator[Fault]:
    found = ""
    with suppress(_Missing):
        try:
            make()
        except ConfigError as error:
            found = str(error)
    if found:
        yield Fault(found, table, key, near)
