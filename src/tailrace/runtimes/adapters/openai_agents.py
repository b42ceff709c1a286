"""An agent of the OpenAI Agents SDK as a runtime: the SDK's runner, listened to at its models and tools
(`openai_agents_model.py`, `openai_agents_tools.py`) and played back (`playback.py`).

Agents that tools run take part as subagents: those of `Agent.as_tool` and those that a tool runs itself. They
are met where every run begins, in `AgentRunner`, and where every turn asks for its tools, in
`Agent.get_all_tools`. Both are wrapped once when this file is imported; outside our runs they do what they
did. Nothing of our runs is traced: tracing sends what was said to OpenAI.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from typing import Any, cast

import openai
from agents import Agent, RunConfig, RunContextWrapper, RunResult, Tool
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
from tailrace.runtimes.adapters.openai_agents_invocation import Invocation
from tailrace.runtimes.adapters.openai_agents_items import told
from tailrace.runtimes.adapters.openai_agents_model import TappedModel
from tailrace.runtimes.adapters.openai_agents_tools import tapped
from tailrace.runtimes.adapters.playback import SCOPE, play, scope
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.single import ending, opening

MAX_MESSAGE = 500
Make = Callable[[RunRequest], Any]


class OpenAIAgentsRuntime:
    """Runs `agent`. `context` makes the run's context object from its request; `max_turns` and
    `run_config` are the runner's. A call of a tool named in `retry` that a crash cut off is made again.
    """

    resumes = True

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
            raise ConfigError(f"{name}: an OpenAI Agents SDK {type(agent).__name__} is no agent")
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
        invocation = Invocation(place, self._agent, self._retry)
        options = {**self._options, "context": self._context(request) if self._context else None}
        result = await _heard(invocation, AgentRunner(), self._agent, told(request), options)
        if result.interruptions:
            raise ModelFailed(
                "The agent waits for an approval of a tool that is not run here; it cannot be asked for."
            )


def _failure(error: BaseException) -> BaseException:  # noqa: C901 - one arm per kind of failure
    """A framework's error in our words; a model server's own words may hold secrets and stay out."""
    match error:
        case MaxTurnsExceeded():
            return LimitReached("max_turns")
        case openai.APIStatusError():
            limited = error.status_code == 429
            return ModelFailed(
                f"The model server answered {error.status_code}.",
                code="rate_limit_exceeded" if limited else "server_error",
                status=error.status_code,
            )
        case openai.APITimeoutError() | ModelTimeoutError():
            return ModelFailed("The model did not answer in time.")
        case openai.APIConnectionError():
            return ModelFailed("The model server cannot be reached.")
        case openai.OpenAIError():
            return ModelFailed(f"The model failed: {type(error).__name__}.")
        case InputGuardrailTripwireTriggered() | OutputGuardrailTripwireTriggered():
            return _stopped(error.guardrail_result.guardrail)
        case ToolInputGuardrailTripwireTriggered() | ToolOutputGuardrailTripwireTriggered():
            return _stopped(error.guardrail)
        case ModelRefusalError():
            return ModelFailed("The model refused to answer.")
        case ModelBehaviorError():
            return ModelFailed(error.message[:MAX_MESSAGE])
        case UserError() if error.__cause__ is not None:
            return _failure(error.__cause__)
        case _:
            return error


def _stopped(guardrail: Any) -> ModelFailed:
    return ModelFailed(f"The guardrail {guardrail.get_name()} stopped the run.")


# what every run of the SDK gets inside our runs

_run = AgentRunner.run
_run_streamed = AgentRunner.run_streamed
_get_all_tools = Agent.get_all_tools


def _tapped(options: dict[str, Any], invocation: Invocation) -> dict[str, Any]:
    """A run's options, with the invocation listening."""
    config = _untraced(options)["run_config"]
    model = TappedModel(config.model, config.model_provider, invocation)
    return {**options, "run_config": dataclasses.replace(config, model=model)}


def _untraced(options: dict[str, Any]) -> dict[str, Any]:
    """A run's options without tracing, and without what a run around it listens with."""
    given: Any = options.get("run_config") or {}
    config = given if isinstance(given, RunConfig) else RunConfig(**given)
    asked = config.model.asked if isinstance(config.model, TappedModel) else config.model
    return {
        **options,
        "run_config": dataclasses.replace(config, model=asked, tracing_disabled=True),
    }


def _outside(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run that is not listened to; begun by one of ours, in a thread, it is not traced."""
    return options if SCOPE.get() is None else _untraced(options)


def _here(agent: Agent[Any]) -> Invocation | None:
    """The invocation that a run of `agent` is, where it begins inside a run of ours."""
    place = scope()
    if place is None or not isinstance(place.member, Invocation):
        return None
    return Invocation(place, agent, place.member.retry)


@wraps(_run)
async def _run_here(self: Any, starting_agent: Any, input: Any, **options: Any) -> Any:
    invocation = _here(starting_agent)
    if invocation is None:
        return await _run(self, starting_agent, input, **_outside(options))
    return await _heard(invocation, self, starting_agent, input, options)


async def _heard(
    invocation: Invocation, runner: Any, agent: Any, input: Any, options: dict[str, Any]
) -> RunResult:
    """A run that the invocation listens to."""
    with invocation.working():
        result = await _run(runner, agent, input, **_tapped(options, invocation))
        invocation.at_work.catch_up(result.to_input_list())
        return result


@wraps(_run_streamed)
def _streamed_here(self: Any, starting_agent: Any, input: Any, **options: Any) -> Any:
    invocation = _here(starting_agent)
    if invocation is None:
        return _run_streamed(self, starting_agent, input, **_outside(options))
    token = invocation.start()
    try:
        result = _run_streamed(self, starting_agent, input, **_tapped(options, invocation))
    except Exception:
        invocation.end("failed")
        raise
    finally:
        SCOPE.reset(token)
    if result.run_loop_task is not None:
        invocation.follow(result.run_loop_task)
    return result


@wraps(_get_all_tools)
async def _tools_here(self: Agent[Any], run_context: RunContextWrapper[Any]) -> list[Tool]:
    tools = await _get_all_tools(self, run_context)
    place = scope()
    if place is None or place.call is not None or not isinstance(place.member, Invocation):
        return tools
    return tapped(tools, await place.member.turn(self, tools))


AgentRunner.run = _run_here  # type: ignore[method-assign]
AgentRunner.run_streamed = _streamed_here  # type: ignore[method-assign]
Agent.get_all_tools = _tools_here  # type: ignore[method-assign, assignment]
