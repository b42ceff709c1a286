"""The patches of the OpenAI Agents SDK, and the private attributes that we use. There are no others.

Every run begins in `AgentRunner`, and every turn asks for its tools in `Agent.get_all_tools`. Both are
wrapped once when this file is imported: inside a run of ours they are observed, outside they behave as
before. Nothing of our runs is traced: tracing sends content to OpenAI.
"""

from __future__ import annotations

import dataclasses
from functools import wraps
from typing import Any

from agents import Agent, Model, RunConfig, RunContextWrapper, RunResult, Tool
from agents.run import AgentRunner

from tailrace import hooks
from tailrace.runtimes.adapters.openai_agents.invocation import OpenAIAgentsInvocation
from tailrace.runtimes.adapters.openai_agents.model import TappedModel
from tailrace.runtimes.adapters.openai_agents.tools import tap_tools
from tailrace.runtimes.adapters.playback import SCOPE, scope

NEEDS = ("openai-agents", "0.24")
hooks.require(*NEEDS, AgentRunner, "run", "run_streamed")
hooks.require(*NEEDS, Agent, "get_all_tools")
hooks.require(*NEEDS, Model, "_cleanup_on_run_end")

_run = AgentRunner.run
_run_streamed = AgentRunner.run_streamed
_get_all_tools = Agent.get_all_tools


def _with_tap(options: dict[str, Any], invocation: OpenAIAgentsInvocation) -> dict[str, Any]:
    """The options of a run, with the invocation as observer."""
    config = _without_tracing(options)["run_config"]
    model = TappedModel(config.model, config.model_provider, invocation)
    return {**options, "run_config": dataclasses.replace(config, model=model)}


def _without_tracing(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run without tracing, and without the observer of an outer run."""
    run_config: Any = options.get("run_config") or {}
    config = run_config if isinstance(run_config, RunConfig) else RunConfig(**run_config)
    model = config.model.run_model if isinstance(config.model, TappedModel) else config.model
    return {
        **options,
        "run_config": dataclasses.replace(config, model=model, tracing_disabled=True),
    }


def _outside(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run that is not observed; if one of ours started it in a thread, it is not traced."""
    return options if SCOPE.get() is None else _without_tracing(options)


def _here(agent: Agent[Any]) -> OpenAIAgentsInvocation | None:
    """The invocation for a run of `agent` that starts inside a run of ours, or None."""
    place = scope()
    if place is None or not isinstance(place.member, OpenAIAgentsInvocation):
        return None
    return OpenAIAgentsInvocation(place, agent, place.member.retry)


@wraps(_run)
async def _run_here(self: Any, starting_agent: Any, input: Any, **options: Any) -> Any:
    invocation = _here(starting_agent)
    if invocation is None:
        return await _run(self, starting_agent, input, **_outside(options))
    return await run_with_tap(invocation, self, starting_agent, input, options)


async def run_with_tap(
    invocation: OpenAIAgentsInvocation, runner: Any, agent: Any, input: Any, options: dict[str, Any]
) -> RunResult:
    """A run that the invocation observes."""
    with invocation.working():
        result = await _run(runner, agent, input, **_with_tap(options, invocation))
        invocation.at_work.catch_up(result.to_input_list())
        return result


@wraps(_run_streamed)
def _streamed_here(self: Any, starting_agent: Any, input: Any, **options: Any) -> Any:
    invocation = _here(starting_agent)
    if invocation is None:
        return _run_streamed(self, starting_agent, input, **_outside(options))
    token = invocation.start()
    try:
        result = _run_streamed(self, starting_agent, input, **_with_tap(options, invocation))
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
    if (
        place is None
        or place.call is not None
        or not isinstance(place.member, OpenAIAgentsInvocation)
    ):
        return tools
    return tap_tools(tools, await place.member.turn(self, tools))


AgentRunner.run = _run_here  # type: ignore[method-assign]
AgentRunner.run_streamed = _streamed_here  # type: ignore[method-assign]
Agent.get_all_tools = _tools_here  # type: ignore[method-assign, assignment]
