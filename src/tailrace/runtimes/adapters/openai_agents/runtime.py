"""An agent of the OpenAI Agents SDK as a runtime: the SDK's runner, observed at its models and tools
(`model.py`, `tools.py`) and played back (`playback.py`).

Agents that tools run take part as subagents: those of `Agent.as_tool` and those that a tool runs itself.
They are observed where every run begins (`patches.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
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
from tailrace.runtimes.adapters.openai_agents import patches
from tailrace.runtimes.adapters.openai_agents.invocation import OpenAIAgentsInvocation
from tailrace.runtimes.adapters.openai_agents.items import request_input
from tailrace.runtimes.adapters.playback import play, scope
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.foreign import refusal
from tailrace.runtimes.node_lifecycle import ending, opening

logger = logging.getLogger("tailrace.agents")

MAX_MESSAGE = 500
Make = Callable[[RunRequest], Any]


class OpenAIAgentsRuntime:
    """Runs `agent`. `context` makes the run's context object from its request; `max_turns` and
    `run_config` are the runner's. A call of a tool named in `retry` that a crash cut off is made again.
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
    ) -> None:
        if not isinstance(agent, Agent):
            raise ConfigError(
                f"{name}: an OpenAI Agents SDK {type(agent).__name__} is not an agent"
            )
        self._agent = cast("Agent[Any]", agent)
        self._name = name
        self._context = context
        self._retry = frozenset(retry)
        self._options = {"max_turns": max_turns, "run_config": run_config}

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, self._name),)

    async def run(self, context: RunContext) -> None:
        context.emit(opening(context.state, self._name))
        if await play(context, self._run, _failure):
            context.emit(ending(context.state))

    async def _run(self, request: RunRequest) -> None:
        place = scope()
        if place is None:
            raise AssertionError("a run has a scope")
        invocation = OpenAIAgentsInvocation(place, self._agent, self._retry)
        options = {**self._options, "context": self._context(request) if self._context else None}
        result = await patches.run_with_tap(
            invocation, AgentRunner(), self._agent, request_input(request), options
        )
        if result.interruptions:
            raise ModelFailed(
                "The agent waits for an approval of a tool that does not run here; it cannot be requested."
            )


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
