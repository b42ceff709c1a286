"""A built-in agent on its own: a workflow with one node."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.events.types import MAIN
from tailrace.models.contract import Model
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.node_lifecycle import NODE, NODE_TYPE
from tailrace.runtimes.nodes.contract import NodeSpec
from tailrace.runtimes.nodes.deep_agent import DeepAgentNode
from tailrace.runtimes.workflow import Workflow


def one_agent(agent: Agent, models: Mapping[str, Model]) -> Workflow:
    """The runtime of `agent`; a request may select another of `models` for it."""
    spec = NodeSpec(id=NODE, type=NODE_TYPE, name=agent.name)
    return Workflow([spec], {NODE: DeepAgentNode(agent, MAIN, models)}, names_nodes=False)
