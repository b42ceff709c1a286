"""From the configuration of a workflow to its nodes."""

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
"""Node types that are one call of a model, and the dialect of that model."""


def workflow_of(
    name: str,
    workflow: WorkflowConfig,
    config: Config,
    models: Mapping[str, Model],
    agent: Callable[[str], Agent],
) -> Workflow:
    """A configured workflow; `agent` makes a built-in agent by name. Raises `ConfigError`."""
    where = f"[workflows.{name}]"

    def refuse(message: str, _: str) -> NoReturn:
        raise ConfigError(f"{where} {message}")

    nodes = nodes_of(workflow, refuse)
    only = sum(node.type == "deep_agent" for node in nodes) == 1
    nodes_by_id: dict[str, Node] = {}
    below: set[str] = set()
    for node in nodes:
        at = f"{where} node {node.id!r}"
        if node.type == "deep_agent":
            agent_name = _option(at, node, "agent", config.agents)
            if config.agents[agent_name].entry:
                raise ConfigError(
                    f"{at}: {agent_name!r} has an entry; only built-in agents are nodes"
                )
            nodes_by_id[node.id] = DeepAgentNode(
                agent(agent_name), MAIN if only else node.id, models
            )
            below |= {
                entry.name for entry in agent(agent_name).registry() if entry.kind == "subagent"
            }
        elif node.type in MEDIA:
            nodes_by_id[node.id] = _media(at, node, config, models)
        else:
            nodes_by_id[node.id] = _plugin_node(at, node)
    for id in below & {node.id for node in nodes if node.type == "deep_agent" and not only}:
        raise ConfigError(  # a node's agent goes by the node's id
            f"{where} node id {id!r} is also the name of an agent that a node dispatches;"
            " give the node another id"
        )
    return Workflow([_spec(node) for node in nodes], nodes_by_id)


def _media(where: str, node: NodeConfig, config: Config, models: Mapping[str, Model]) -> ModelNode:
    model, dialect = _option(where, node, "model", config.models), MEDIA[node.type]
    if config.models[model].dialect != dialect:
        raise ConfigError(f"{where}: model {model!r} must be of dialect {dialect!r}")
    rest = {key: value for key, value in node.options.items() if key != "model"}
    return ModelNode(models[model], dialect, rest)


def _spec(node: NodeConfig) -> NodeSpec:
    return NodeSpec(
        id=node.id, type=node.type, name=node.name, needs=node.needs, options=node.options
    )


def _option(where: str, node: NodeConfig, key: str, among: Mapping[str, object]) -> str:
    """The value of a node's option that names an agent or a model. Raises `ConfigError`."""
    value = node.options.get(key)
    if not isinstance(value, str) or value not in among:
        raise ConfigError(f"{where}: unknown {key} {value!r}{nearest(str(value), among)}")
    return value


def _plugin_node(where: str, node: NodeConfig) -> Node:
    """A node whose type an installed package registers as an entry point."""
    plugins = {entry.name: entry for entry in entry_points(group=GROUP)}
    if node.type not in plugins:
        hint = nearest(node.type, [*plugins, "deep_agent", *MEDIA])
        raise ConfigError(f"{where}: unknown type {node.type!r}{hint}")
    try:
        factory: NodeFactory = plugins[node.type].load()
        return factory(_spec(node))
    except ConfigError:
        raise
    except Exception as error:  # code of another package: it may raise anything
        raise ConfigError(f"{where}: type {node.type!r} cannot be used: {error}") from None
