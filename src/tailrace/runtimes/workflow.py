"""A workflow: a graph of nodes, each of which starts when the nodes that it needs are done.

Independent nodes run in parallel. The log shows which nodes are done, so a run that is taken over continues
node by node, and each node continues from the log. A node that fails fails the run, and the failure names
the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tailrace.errors import IllegalEvent, LimitReached, LogError, ModelFailed
from tailrace.events import abandoning
from tailrace.events.items import Item, Message, TextPart
from tailrace.events.request import RunRequest
from tailrace.events.resumptions import input_before
from tailrace.events.types import (
    AgentCompleted,
    AgentEntry,
    Draft,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
)
from tailrace.runtimes.contract import Checks, Forwards, Repeats, RunContext
from tailrace.runtimes.node_lifecycle import ending
from tailrace.runtimes.nodes.contract import Node, NodeContext, NodeSpec, output_of_node


class Workflow:
    """Runs nodes. `specs` have no cycles and need only existing nodes. `names_nodes`: whether a failure
    names its node; false for a single node."""

    resumes: bool = True
    repeats: bool = True

    def __init__(
        self, specs: Sequence[NodeSpec], nodes: Mapping[str, Node], *, names_nodes: bool = True
    ) -> None:
        self._specs = specs
        self._nodes = nodes
        self._names_nodes = names_nodes

    def registry(self) -> Sequence[AgentEntry]:
        return [entry for spec in self._specs for entry in self._nodes[spec.id].registry()]

    def objection(self, request: RunRequest) -> str:
        checking = (node for node in self._nodes.values() if isinstance(node, Checks))
        return next(filter(None, (node.objection(request) for node in checking)), "")

    def refusal(self, request: RunRequest) -> ModelFailed | None:
        forwarding = (node for node in self._nodes.values() if isinstance(node, Forwards))
        return next(filter(None, (node.refusal(request) for node in forwarding)), None)

    async def run(self, context: RunContext) -> None:
        while True:
            answer_count = context.answer_count
            if await self._work(context):
                context.emit(ending(context.state))
                return
            if context.answer_count == answer_count:
                return  # it waits for an answer

    async def _work(self, context: RunContext) -> bool:
        """Run all nodes that can run; False if the remaining ones wait for an answer."""
        running: dict[asyncio.Task[bool], str] = {}
        waiting: set[str] = set()
        news = asyncio.create_task(context.news(context.answer_count))
        try:
            while True:
                for spec in self._ready(context, {*running.values(), *waiting}):
                    task = asyncio.create_task(self._node(context, spec), name=f"node {spec.id}")
                    running[task] = spec.id
                if not running:
                    return not waiting
                await asyncio.wait({*running, news}, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task.done()]:
                    node = running.pop(task)
                    if not task.result():
                        waiting.add(node)
                if news.done():  # an answer arrived: waiting nodes may continue while others work
                    news = asyncio.create_task(context.news(context.answer_count))
                    waiting.clear()
        finally:
            news.cancel()
            for task in running:
                task.cancel()
            await asyncio.gather(news, *running, return_exceptions=True)

    def _ready(self, context: RunContext, busy: set[str]) -> list[NodeSpec]:
        nodes = context.state.nodes
        return [
            spec
            for spec in self._specs
            if spec.id not in busy
            and nodes.get(spec.id) != "closed"
            and all(nodes.get(need) == "closed" for need in spec.needs)
        ]

    async def _node(self, context: RunContext, spec: NodeSpec) -> bool:
        if spec.id not in context.state.nodes:
            started = NodeStarted(spec.type, spec.name or spec.id)
            context.emit([Draft(started, spec.id)])
        try:
            node = self._nodes[spec.id]
            if not isinstance(node, Repeats):
                context.emit(abandoning.replies(context.state, spec.id))
            done = await node.work(NodeContext(context, spec), self._input_of(context, spec))
        except (LimitReached, LogError):
            raise
        except Exception as error:
            if not self._names_nodes:
                raise
            why, failure = _failure(spec.id, error)
            self._fail(context, spec.id, why)
            raise failure from (None if isinstance(error, ModelFailed) else error)
        if done:
            context.emit([Draft(NodeCompleted(), spec.id)])
        return done

    def _input_of(self, context: RunContext, spec: NodeSpec) -> tuple[Item, ...]:
        """The input of a node: the run's input and the messages that were sent with answers before the node
        started; for a node that needs others, then their output."""
        request, resumptions = context.request, context.state.resumptions
        items: list[Item] = [*request.history, *request.input]
        items += input_before(resumptions, spec.id)
        for need in spec.needs:
            for message in output_of_node(context.state, need):
                head = TextPart(f"What {need} made:\n\n")
                items.append(Message(role="user", content=(head, *message.content)))
        return tuple(items)

    def _fail(self, context: RunContext, node: str, message: str) -> None:
        """Close everything open in the node, then the node."""
        state = context.state
        closing = [draft for draft in state.close_items() if draft.node == node]
        agents = [
            agent
            for agent, phase in reversed(state.agents.items())
            if phase == "open" and state.homes[agent] == node
        ]
        context.emit(
            [
                *closing,
                *(Draft(AgentCompleted("failed"), node, agent) for agent in agents),
                Draft(NodeFailed(message), node),
            ]
        )


def _failure(node: str, error: Exception) -> tuple[str, ModelFailed]:
    """The failure of a node, and the failure of its run."""
    match error:
        case ModelFailed():
            return error.message, error.but(message=f"Node {node} failed: {error.message}")
        case IllegalEvent():
            message = f"Node {node} broke the event grammar: {error}"
            return message, ModelFailed(message)
        case _:
            name = type(error).__name__
            return name, ModelFailed(f"Node {node} raised {name}.")
