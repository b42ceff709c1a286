"""A node that is a built-in agent at work."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.events.items import Item
from tailrace.events.request import ModelRequest, RunRequest
from tailrace.events.types import AgentCompleted, AgentEntry, AgentStarted
from tailrace.runtimes import structured
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.invocation import Invocation, Team, in_time
from tailrace.runtimes.nodes.contract import NodeContext


class DeepAgentNode:
    """Runs `agent` under invocation id `id`: `MAIN` where it is the workflow's only agent."""

    repeats = True

    def __init__(self, agent: Agent, id: str) -> None:
        self._agent = agent
        self._id = id

    def registry(self) -> Sequence[AgentEntry]:
        return self._agent.registry(self._id)

    def objection(self, request: RunRequest) -> str:
        return structured.objection(request.settings.output)

    async def work(self, context: NodeContext, told: tuple[Item, ...]) -> bool:
        if self._id not in context.run.state.agents:
            context.emit([AgentStarted(self._agent.name)], self._id)
        request = context.run.request
        settings = request.settings
        if self._agent.output is not None and settings.output.kind == "text":
            settings = msgspec.structs.replace(settings, output=self._agent.output)
        worker = Invocation(
            Team(context.run, self._agent.limits),
            self._agent,
            id=self._id,
            node=context.id,
            model=self._agent.model,
            base=ModelRequest(items=told, instructions=self._agent.instructions, settings=settings),
        )
        worked = context.run.worked(context.id)
        if not await in_time(self._agent.limits.seconds, worked, worker.work()):
            return False
        context.emit([AgentCompleted()], self._id)
        return True
