"""Observes a Pydantic AI agent: the patches of the framework, and the private attributes that we use. There
are no others.

Every way of running an agent begins with `Agent.iter`, which is wrapped once when this file is imported:
outside a run of ours it behaves as before, inside one it adds `Tap` to the agent's capabilities for one
run. Its model reads the reply from the model's own stream (an event handler on the run would cost 20 times
as much a token), and its hooks are called when tools start, end and wait. `invocation.py` makes all
decisions.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

from pydantic_ai import Agent, RunContext
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.capabilities.abstract import ValidatedToolArgs, WrapToolExecuteHandler
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models import (
    CompletedStreamedResponse,
    Model,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolDefinition

from tailrace import hooks
from tailrace.runtimes.adapters.playback import scope
from tailrace.runtimes.adapters.pydantic_ai.invocation import PydanticAIInvocation

NEEDS = ("pydantic-ai-slim", "2.68")
CAPABILITY = (
    "get_ordering",
    "get_wrapper_model",
    "wrap_tool_execute",
    "handle_deferred_tool_calls",
)
"""The methods that `Tap` overrides: with a release that does not call one of them, agents would run without
being observed."""


@dataclass
class Tap(AbstractCapability[Any]):
    """Observes one run of one agent."""

    invocation: PydanticAIInvocation

    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="outermost")

    def get_wrapper_model(self, model: Model) -> Model:
        return _TappedModel(model, self.invocation)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: ValidatedToolArgs,
        handler: WrapToolExecuteHandler,
    ) -> Any:
        return await self.invocation.execute(call, tool_def, lambda: handler(args))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        return await self.invocation.answers(requests)


class _TappedModel(WrapperModel):
    def __init__(self, model: Model, invocation: PydanticAIInvocation) -> None:
        super().__init__(model)
        self._invocation = invocation

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        parameters = model_request_parameters
        invocation = self._invocation
        tools = [*parameters.function_tools, *parameters.output_tools]
        logged_reply = await invocation.before_reply(messages, {tool.name: tool for tool in tools})
        if logged_reply is not None:
            return logged_reply
        messages = invocation.with_late_inputs(messages)
        with invocation.reply() as reply:
            if not _streams(self.wrapped):
                response = await self.wrapped.request(messages, model_settings, parameters)
                reply.whole(response)
                return response
            async with self.wrapped.request_stream(messages, model_settings, parameters) as stream:
                async for event in stream:
                    reply.take(event)
                    await invocation.room()
                response = stream.get()
            reply.finish(response)
            return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """For an agent with an event handler of its own: it gets each reply when it is complete."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(
            response, model_request_parameters=model_request_parameters, replay_events=True
        )


def _streams(model: Model) -> bool:
    while isinstance(model, WrapperModel):
        model = model.wrapped
    if isinstance(model, FunctionModel):
        return model.stream_function is not None
    return type(model).request_stream is not Model.request_stream


@asynccontextmanager
async def _iterate(
    iterate: Any, agent: Any, prompt: Any, options: dict[str, Any]
) -> AsyncGenerator[Any]:
    """`Agent.iter`, with a tap if it runs inside a run of ours."""
    place = scope()
    if place is None:
        async with iterate(agent, prompt, **options) as run:
            yield run
        return
    invocation = PydanticAIInvocation(place, agent.name or "agent")
    capabilities = [*(options.pop("capabilities", None) or ()), Tap(invocation)]
    with invocation.working():
        async with iterate(agent, prompt, capabilities=capabilities, **options) as run:
            yield run
            invocation.catch_up(run.all_messages())


def _wrap(iterate: Any) -> Any:
    @wraps(iterate)
    def iter(self: Any, user_prompt: Any = None, **options: Any) -> Any:
        return _iterate(iterate, self, user_prompt, options)

    return iter


hooks.require(*NEEDS, AbstractCapability, *CAPABILITY)
hooks.wrap(*NEEDS, Agent, "iter", _wrap)
