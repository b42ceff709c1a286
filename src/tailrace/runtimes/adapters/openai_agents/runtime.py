"""An agent of the OpenAI Agents SDK as a runtime: the SDK's runner, observed at its models and tools
(`model.py`, `tools.py`) and played back (`playback.py`).

Agents that tools run take part as subagents: those of `Agent.as_tool` and those that a tool runs itself.
They are observed where every run begins (`patches.py`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, cast

import openai
from agents import Agent, RunConfig
from agents.exceptions import (
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelRefusalError,
    ModelTimeoutError,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
    UserError,
)
from agents.run import AgentRunner
from agents.run_config import DEFAULT_MAX_TURNS

from tailrace.errors import ConfigError, LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.protocols.secrets import scrub
from tailrace.runtimes.adapters.journal import Journal, ThreadStates
from tailrace.runtimes.adapters.openai_agents import patches
from tailrace.runtimes.adapters.openai_agents.invocation import OpenAIAgentsInvocation
from tailrace.runtimes.adapters.openai_agents.items import request_input
from tailrace.runtimes.adapters.playback import play, scope
from tailrace.runtimes.adapters.run_values import Make, RunValues
from tailrace.runtimes.contract import Feature, RunContext, RuntimeCheckpoints
from tailrace.runtimes.foreign import refusal
from tailrace.runtimes.node_lifecycle import ending, opening

logger = logging.getLogger("tailrace.agents")

MAX_MESSAGE = 500
SCHEMA: frozenset[Feature] = frozenset({"json_schema"})
LACKS: frozenset[Feature] = frozenset({"json_object", "stop", "seed", "logprobs", "custom_tools"})
KIND, FIRST = "openai_agents", "first_agent"
"""The kind of the state that an agent leaves to the next turn; the entry that names a run's first agent."""


class OpenAIAgentsRuntime:
    """Runs `agent`. `context` makes the run's context object from its request; `max_turns` and
    `run_config` are the runner's. A call of a tool named in `retry` that a crash cut off is made again. The
    next turn of a conversation begins with the agent that answered last, unless not `keep_state`.
    """

    resumes: bool = True
    repeats: bool = True

    def __init__(
        self,
        agent: object,
        name: str,
        *,
        context: Make | None = None,
        max_turns: int | None = DEFAULT_MAX_TURNS,
        run_config: RunConfig | None = None,
        retry: Collection[str] = (),
        keep_state: bool = True,
    ) -> None:
        if not isinstance(agent, Agent):
            raise ConfigError(
                f"{name}: an OpenAI Agents SDK {type(agent).__name__} is not an agent"
            )
        self._agent = cast("Agent[Any]", agent)
        self._name = name
        self.lacks: frozenset[Feature] = LACKS
        if self._agent.output_type not in (None, str):
            self.lacks = LACKS | SCHEMA
        self._context = RunValues("context", context)
        self._retry = frozenset(retry)
        self._keep_state = keep_state
        self._store: RuntimeCheckpoints | None = None
        self._options = {"max_turns": max_turns, "run_config": run_config}

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, self._name),)

    def keep_in(self, store: RuntimeCheckpoints) -> None:
        """The store of the agents that answered last."""
        self._store = store

    async def run(self, context: RunContext) -> None:
        agent = await self._first_agent(context)
        value = await self._context.get(context.run, context.request)
        last_agents: list[Agent[Any]] = []
        context.emit(opening(context.state, self._name))

        async def run(request: RunRequest) -> None:
            last_agents.append(await self._run(request, agent, value))

        if await play(context, run, _failure):
            if self._store is not None and self._keep_state and last_agents:
                name = last_agents[-1].name
                await ThreadStates(self._store.records).save(context.run, KIND, name)
            context.emit(ending(context.state))

    async def _first_agent(self, context: RunContext) -> Agent[Any]:
        """The agent that answered the turn before, if it is one of the agents of `handoffs`; the same in
        every attempt, although the turn before may expire meanwhile."""
        previous_run = context.request.previous_run
        if self._store is None or not self._keep_state or not previous_run:
            return self._agent
        journal = Journal(self._store.records, context.run, context.flush)
        entries = await journal.load()
        if entries:
            name = entries[0][1][1]
        else:
            name = await ThreadStates(self._store.records).load(previous_run, KIND) or ""
            await journal.add((FIRST, name))
        return agents_by_handoff(self._agent).get(name, self._agent)

    async def release(self, run: str) -> None:
        """A run has ended."""
        await self._context.release(run)

    async def _run(self, request: RunRequest, agent: Agent[Any], context: Any) -> Agent[Any]:
        """Returns the agent that answered."""
        place = scope()
        if place is None:
            raise AssertionError("a run has a scope")
        invocation = OpenAIAgentsInvocation(place, agent, self._retry)
        options = {**self._options, "context": context}
        result = await patches.run_with_tap(
            invocation, AgentRunner(), agent, request_input(request), options
        )
        if result.interruptions:
            raise ModelFailed(
                "The agent waits for an approval of a tool that does not run here; it cannot be requested."
            )
        return result.last_agent


def agents_by_handoff(agent: Agent[Any]) -> dict[str, Agent[Any]]:
    """An agent and all agents that it can hand over to, by name; of two with one name the nearer one. A
    handoff that only its own function resolves is not among them."""
    by_name: dict[str, Agent[Any]] = {}
    waiting = deque([agent])
    while waiting:
        each = waiting.popleft()
        if each.name in by_name:
            continue
        by_name[each.name] = each
        for handoff in each.handoffs:
            target = handoff if isinstance(handoff, Agent) else _target(handoff)
            if target is not None:
                waiting.append(target)
    return by_name


def _target(handoff: Any) -> Agent[Any] | None:
    """The agent of a `Handoff` object, to which it has a weak reference."""
    reference = getattr(handoff, "_agent_ref", None)
    return reference() if reference is not None else None


def _failure(error: BaseException) -> BaseException:  # noqa: C901 - one arm per kind of failure
    """A framework's error in our words; a model server's own words may hold secrets and stay out."""
    match error:
        case MaxTurnsExceeded():
            return LimitReached("max_turns")
        case openai.APIStatusError():
            return refusal(error, error.status_code)
        case openai.APITimeoutError() | ModelTimeoutError():
            return ModelFailed("The model did not answer in time.")
        case openai.APIConnectionError():
            return ModelFailed("The model server cannot be reached.")
        case openai.OpenAIError():
            return ModelFailed(f"The model failed: {type(error).__name__}.")
        case InputGuardrailTripwireTriggered() | OutputGuardrailTripwireTriggered():
            return _blocked_by(error.guardrail_result.guardrail)
        case ToolInputGuardrailTripwireTriggered() | ToolOutputGuardrailTripwireTriggered():
            return _blocked_by(error.guardrail)
        case ModelRefusalError():
            return ModelFailed("The model refused to answer.")
        case ModelBehaviorError():
            return ModelFailed(scrub(error.message[:MAX_MESSAGE]))
        case UserError() if error.__cause__ is not None:
            return _failure(error.__cause__)
        case _:
            return error


def _blocked_by(guardrail: Any) -> LimitReached:
    """The end of a run that a guardrail stopped: not a failure, after which SDKs would send the request again
    (six model calls for one blocked request, measured). The log names the guardrail."""
    logger.warning("the guardrail %s stopped a run", guardrail.get_name())
    return LimitReached("content_filter")
