"""The interface of a workflow's node: it has an id and works when the nodes that it needs are done.

A type of node is a factory, registered as a Python entry point in the group `tailrace.nodes`. Its events
carry the node's id, and every surface that shows nodes shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from tailrace.events.items import Item, Json, Message
from tailrace.events.state import RunState
from tailrace.events.types import NO_AGENT, AgentEntry, Draft, Payload
from tailrace.runtimes.contract import RunContext

GROUP = "tailrace.nodes"


class NodeSpec(Struct, frozen=True, kw_only=True):
    """A configured node: `needs` are the ids of the nodes before it, `options` the own keys of its type."""

    id: str
    type: str
    name: str = ""
    needs: tuple[str, ...] = ()
    options: Mapping[str, Json] = {}


class NodeContext:
    """A node's view of its run."""

    def __init__(self, run: RunContext, spec: NodeSpec) -> None:
        self.run = run
        self.id = spec.id

    def emit(self, payloads: Sequence[Payload], agent: str = NO_AGENT) -> None:
        """Emit events of this node. Raises `IllegalEvent`."""
        self.run.emit([Draft(payload, self.id, agent) for payload in payloads])


class Node(Protocol):
    """A node of a workflow that can run."""

    def registry(self) -> Sequence[AgentEntry]:
        """The agents in the node."""
        ...

    async def work(self, context: NodeContext, items: tuple[Item, ...]) -> bool:
        """Do the node's work, or continue it after a crash or a pause, from the state.

        `items` are the run's input and the output of the needed nodes. True when the node is done, False
        when it waits for a person's answer. Raising fails the node, and with it the run.
        """
        ...


NodeFactory = Callable[[NodeSpec], Node]
"""Makes a node from its configuration. Raises `ConfigError` for unsupported options."""


def output_of_node(state: RunState, node: str) -> tuple[Message, ...]:
    """The output of a node: the messages, images and audio of its main agent, or of no agent."""
    mains = {entry.id for entry in state.registry if entry.kind == "main"} | {NO_AGENT}
    return tuple(
        item.content
        for item in state.items
        if item.node == node
        and item.agent in mains
        and item.status == "completed"
        and isinstance(item.content, Message)
    )
