"""Workflows from their configuration: which node is made of what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import NoReturn

from tailrace.config import Config, nearest
from tailrace.config.workflows import NodeConfig, WorkflowConfig, nodes_of
from tailrace.errors import ConfigError
from tailrace.events.types import MAIN
from tailrace.models.contract import Model
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.nodes.contract import GROUP, Node, NodeFactory, NodeSpec
from tailrace.runtimes.nodes.deep_agent import DeepAgentNode
from tailrace.runtimes.nodes.model import ModelNode
from tailrace.runtimes.workflow import Workflow

MEDIA = {"image_generation": "images", "speech": "speech"}
"""Nodes that are one call of a model, and the dialect it must have."""


def workflow_of(
    name: str,
    workflow: WorkflowConfig,
    config: Config,
    known: Mapping[str, Model],
    agent: Callable[[str], Agent],
) -> Workflow:
    """A configured workflow; `agent` makes a built-in agent by name. Raises `ConfigError`."""
    where = f"[workflows.{name}]"

    def refuse(message: str, _: str) -> NoReturn:
        raise ConfigError(f"{where} {message}")

    nodes = nodes_of(workflow, refuse)
    only = sum(node.type == "deep_agent" for node in nodes) == 1
    made: dict[str, Node] = {}
    below: set[str] = set()
    for node in nodes:
        at = f"{where} node {node.id!r}"
        if node.type == "deep_agent":
            found = _named(at, node, "agent", config.agents)
            if config.agents[found].entry:
                raise ConfigError(f"{at}: {found!r} has an entry; only built-in agents are nodes")
            made[node.id] = DeepAgentNode(agent(found), MAIN if only else node.id, known)
            below |= {entry.name for entry in agent(found).registry() if entry.kind == "subagent"}
        elif node.type in MEDIA:
            made[node.id] = _media(at, node, config, known)
        else:
            made[node.id] = _registered(at, node)
    for id in below & {node.id for node in nodes if node.type == "deep_agent" and not only}:
        raise ConfigError(  # a node's agent goes by the node's id
            f"{where} node id {id!r} is also the name of an agent that a node dispatches;"
            " give the node another id"
        )
    return Workflow([_spec(node) for node in nodes], made)


def _media(where: str, node: NodeConfig, config: Config, known: Mapping[str, Model]) -> ModelNode:
    model, dialect = _named(where, node, "model", config.models), MEDIA[node.type]
    if config.models[model].dialect != dialect:
        raise ConfigError(f"{where}: model {model!r} must be of dialect {dialect!r}")
    rest = {key: value for key, value in node.options.items() if key != "model"}
    return ModelNode(known[model], dialect, rest)


def _spec(node: NodeConfig) -> NodeSpec:
    return NodeSpec(
        id=node.id, type=node.type, name=node.name, needs=node.needs, options=node.options
    )


def _named(where: str, node: NodeConfig, key: str, known: Mapping[str, object]) -> str:
    """A node's option that names something configured."""
    value = node.options.get(key)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{where}: unknown {key} {value!r}{nearest(str(value), known)}")
    return value


def _registered(where: str, node: NodeConfig) -> Node:
    """A node of a type that some installed package registered."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if node.type not in found:
        hint = nearest(node.type, [*found, "deep_agent", *MEDIA])
        raise ConfigError(f"{where}: unknown type {node.type!r}{hint}")
    try:
        factory: NodeFactory = found[node.type].load()
        return factory(_spec(node))
    except ConfigError:
        raise
    except Exception as error:  # a package of somebody's: it may raise anything
        raise ConfigError(f"{where}: type {node.type!r} cannot be used: {error}") from None
