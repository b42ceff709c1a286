"""A node that is a built-in agent; as the only node of its workflow it equals the agent on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from tailrace.errors import LimitReached, ModelFailed
from tailrace.events.items import Item
from tailrace.events.request import RunRequest
from tailrace.events.types import MAIN, AgentCompleted, AgentEntry, AgentStarted
from tailrace.models.contract import Model
from tailrace.runtimes import structured
from tailrace.runtimes.agent import Agent, model_request, refusal_of
from tailrace.runtimes.invocation import Invocation, Team
from tailrace.runtimes.nodes.contract import NodeContext


class DeepAgentNode:
    """Runs `agent` under invocation id `id`: `MAIN` for the only agent of a workflow, for which a request
    may select another of `models`. Several agents keep their own models."""

    repeats = True

    def __init__(self, agent: Agent, id: str, models: Mapping[str, Model] | None = None) -> None:
        self._agent = agent
        self._id = id
        self._models = models or {}

    def registry(self) -> Sequence[AgentEntry]:
        return self._agent.registry(self._id)

    def objection(self, request: RunRequest) -> str:
        return structured.objection(request.settings.output)

    def refusal(self, request: RunRequest) -> ModelFailed | None:
        return refusal_of(self._agent, self._model(request), request)

    async def work(self, context: NodeContext, items: tuple[Item, ...]) -> bool:
        if self._id not in context.run.state.agents:
            context.emit([AgentStarted(self._agent.name)], self._id)
        request = context.run.request
        worker = Invocation(
            Team(context.run, self._agent.limits),
            self._agent,
            id=self._id,
            node=context.id,
            model=self._model(request),
            base=model_request(self._agent, request, items),
        )
        seconds = context.run.working_seconds(context.id)
        if not await _within(self._agent.limits.seconds, seconds, worker.work()):
            return False
        cut = context.run.state.finishes.get(self._id) in ("length", "content_filter")
        context.emit([AgentCompleted("incomplete" if cut else "completed")], self._id)
        return True

    def _model(self, request: RunRequest) -> Model:
        model = self._models.get(request.model) if self._id == MAIN else None
        return model or self._agent.model


async def _within(seconds: float, before: float, work: Awaitable[bool]) -> bool:
    """The result of `work`, which may take `seconds` in all, with the time `before` a crash or a pause; 0
    is no limit. Raises `LimitReached`."""
    limit = asyncio.timeout(max(seconds - before, 0.0) if seconds else None)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise LimitReached("max_seconds") from None
        raise
