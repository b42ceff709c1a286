"""What a workflow's node is: something with an id that works once what it needs is there.

A kind of node is a factory, registered as a Python entry point in the group `tailrace.nodes`; what it
emits carries the node's id, and every surface that shows nodes shows it, whatever it is.
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
    """A node as configured: `needs` are the ids of nodes that come first, `options` its kind's own keys."""

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
        """Say what happens in this node. Raises `IllegalEvent`."""
        self.run.emit([Draft(payload, self.id, agent) for payload in payloads])


class Node(Protocol):
    """A node of a workflow that can run."""

    def registry(self) -> Sequence[AgentEntry]:
        """The agents that work in it."""
        ...

    async def work(self, context: NodeContext, items: tuple[Item, ...]) -> bool:
        """Do the node's work, or continue it after a crash or a pause: the state says how far it got.

        `items` are the run's input and the output of the needed nodes. True when the node is done, False
        when it can only wait for a person's answer. Raising fails the node, and with it the run.
        """
        ...


NodeFactory = Callable[[NodeSpec], Node]
"""Makes a node from its configuration. Raises `ConfigError` for options it cannot use."""


def output_of_node(state: RunState, node: str) -> tuple[Message, ...]:
    """What a node put out: the messages, pictures and audio of its main agent, or of no agent."""
    mains = {entry.id for entry in state.registry if entry.kind == "main"} | {NO_AGENT}
    return tuple(
        item.content
        for item in state.items
        if item.node == node
        and item.agent in mains
        and item.status == "completed"
        and isinstance(item.content, Message)
    )
