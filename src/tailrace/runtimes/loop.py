"""The built-in agent: model, tools, model, until the model has nothing more to call. Log-first.

`AgentLoop` is the runtime: it opens the run, lets the main invocation work (`invocation.py`) and ends the
run the way the main agent's model ended. What an invocation does next is decided in `steps.py`, from the
log alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.errors import ModelFailed
from tailrace.events.request import RunRequest
from tailrace.events.types import MAIN, AgentEntry
from tailrace.models.contract import Model
from tailrace.runtimes import structured
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.asked import asked_of, refusal_of
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.invocation import Invocation, Team, in_time
from tailrace.runtimes.single import NODE, ending, opening


class AgentLoop:
    """Runs `agent`; a request may name another of `models` for the main agent to use."""

    resumes = True
    repeats = True

    def __init__(self, agent: Agent, models: Mapping[str, Model]) -> None:
        self._agent = agent
        self._models = models

    def registry(self) -> Sequence[AgentEntry]:
        return self._agent.registry()

    def objection(self, request: RunRequest) -> str:
        return structured.objection(request.settings.output)

    def refusal(self, request: RunRequest) -> ModelFailed | None:
        return refusal_of(self._agent, self._model(request), request)

    async def run(self, context: RunContext) -> None:
        context.emit(opening(context.state, self._agent.name))
        main = self._main(context)
        if await in_time(
            self._agent.limits.seconds, context.worked(NODE), self._until_done(context, main)
        ):
            context.emit(ending(context.state))

    async def _until_done(self, context: RunContext, main: Invocation) -> bool:
        """Work; False when nothing can be done before somebody answers."""
        while True:
            heard = context.heard
            if await main.work():
                return True
            if context.heard == heard:
                return False

    def _main(self, context: RunContext) -> Invocation:
        request, agent = context.request, self._agent
        return Invocation(
            Team(context, agent.limits),
            agent,
            id=MAIN,
            node=NODE,
            model=self._model(request),
            base=asked_of(agent, request, (*request.history, *request.input)),
        )

    def _model(self, request: RunRequest) -> Model:
        return self._models.get(request.model, self._agent.model)
