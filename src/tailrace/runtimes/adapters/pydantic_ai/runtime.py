"""A Pydantic AI agent as a runtime: `Agent.run`, observed (`patches.py`) and played back (`playback.py`).

Agents that its tools run take part as subagents: they are observed where every run begins (`patches.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from pydantic_ai import StructuredDict
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.exceptions import (
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets.external import ExternalToolset

from tailrace.errors import ConfigError, LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.request import RunRequest, Settings
from tailrace.protocols.secrets import scrub
from tailrace.runtimes.adapters.playback import play
from tailrace.runtimes.adapters.pydantic_ai import patches
from tailrace.runtimes.adapters.pydantic_ai.messages import request_prompt
from tailrace.runtimes.adapters.run_values import Make, RunValues
from tailrace.runtimes.contract import Feature, RunContext
from tailrace.runtimes.foreign import refusal
from tailrace.runtimes.node_lifecycle import ending, opening

assert patches  # imported for its patches

MAX_MESSAGE = 500
SCHEMA: frozenset[Feature] = frozenset({"json_schema"})
LACKS: frozenset[Feature] = frozenset({"json_object", "tool_choice", "logprobs", "custom_tools"})


class PydanticAIRuntime:
    """Runs `agent`. `deps` makes the dependencies of a run from its request (`run_values.py`)."""

    resumes: bool = True
    repeats: bool = True

    def __init__(self, agent: object, name: str, *, deps: Make | None = None) -> None:
        if not isinstance(agent, AbstractAgent):
            raise ConfigError(f"{name}: a pydantic_ai {type(agent).__name__} is not an agent")
        self._agent = cast("AbstractAgent[Any, Any]", agent)
        self._name = name
        self.lacks: frozenset[Feature] = LACKS
        if self._agent.output_type is not str:
            self.lacks = LACKS | SCHEMA
        self._deps = RunValues("deps", deps)

    def registry(self) -> Sequence[t.AgentEntry]:
        return (t.AgentEntry(t.MAIN, self._name),)

    async def run(self, context: RunContext) -> None:
        context.emit(opening(context.state, self._name))
        deps = await self._deps.get(context.run, context.request)
        if await play(context, partial(self._run, deps), _failure):
            context.emit(ending(context.state))

    async def release(self, run: str) -> None:
        """A run has ended."""
        await self._deps.release(run)

    async def _run(self, deps: Any, request: RunRequest) -> None:
        prompt, history, instructions = request_prompt(request)
        output = request.settings.output
        options: dict[str, Any] = {}
        if output.kind == "json_schema" and self._agent.output_type is str:
            options["output_type"] = StructuredDict(
                output.schema, output.name or None, output.description or None
            )
        await self._agent.run(
            prompt,
            message_history=history,
            instructions=instructions or None,
            deps=deps,
            model_settings=_settings(request.settings),
            toolsets=[ExternalToolset(_tools(request.settings))],
            infer_name=False,
            **options,
        )


def _tools(settings: Settings) -> list[ToolDefinition]:
    """The client's tools."""
    return [
        ToolDefinition(
            name=tool.name,
            parameters_json_schema=tool.parameters or {"type": "object"},
            description=tool.description or None,
            strict=tool.strict,
        )
        for tool in settings.tools
        if tool.kind == "function"
    ]


def _settings(settings: Settings) -> ModelSettings:
    """The settings of the client's request, in the framework's form."""
    parameters: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_output_tokens,
        "stop_sequences": list(settings.stop) or None,
        "seed": settings.seed,
        "presence_penalty": settings.presence_penalty,
        "frequency_penalty": settings.frequency_penalty,
        "parallel_tool_calls": settings.parallel_tool_calls,
        "thinking": settings.reasoning_effort or None,
    }
    set_parameters = {name: value for name, value in parameters.items() if value is not None}
    return cast("ModelSettings", set_parameters)


def _failure(error: BaseException) -> BaseException:
    """A framework's error in our words; a model server's own words may hold secrets and stay out."""
    match error:
        case UsageLimitExceeded():
            limits = {"request_limit": "max_turns", "tool_calls_limit": "max_tool_calls"}
            reasons = [reason for word, reason in limits.items() if word in error.message]
            return LimitReached(reasons[0] if reasons else "max_tokens")
        case ModelHTTPError():
            who = f"The model server of {error.model_name}"
            return refusal(error, error.status_code, who)
        case ModelAPIError():
            return ModelFailed(f"{error.model_name} failed: {type(error).__name__}.")
        case FallbackExceptionGroup():
            return _fallback(error)
        case UnexpectedModelBehavior():
            return ModelFailed(scrub(error.message[:MAX_MESSAGE]))
        case _:
            return error


def _fallback(group: BaseExceptionGroup[Any]) -> ModelFailed:
    """The failure of all of an agent's models: retryable if one of them is."""
    message = "None of the agent's models answered."
    failures = [
        refusal(e, e.status_code) for e in group.exceptions if isinstance(e, ModelHTTPError)
    ]
    failures.sort(key=lambda failure: failure.retryable)
    return failures[-1].but(message=message) if failures else ModelFailed(message)
