"""Observes the models of an OpenAI Agents SDK run: one model in front of all of them.

A run's configuration may name a model for all its agents; `TappedModel` is given there. It calls the
agent's own model, reads the reply from the model's stream (the runner's stream of events would add 6 µs a
token), and plays recorded replies back. Settings and tools of the client's request are added for the agents
that answer it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from agents import (
    Agent,
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelProvider,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    Usage,
)
from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
from agents.models import get_default_model_settings
from openai.types.responses import Response, ResponseCompletedEvent
from openai.types.shared import Reasoning

from tailrace.events.request import OutputFormat, Settings
from tailrace.runtimes.adapters.openai_agents.invocation import OpenAIAgentsInvocation
from tailrace.runtimes.adapters.openai_agents.items import with_late_inputs


@dataclass
class ModelCall:
    """The arguments of a model call."""

    system_instructions: str | None
    input: str | list[TResponseInputItem]
    model_settings: ModelSettings
    tools: list[Tool]
    output_schema: AgentOutputSchemaBase | None
    handoffs: list[Handoff[Any, Any]]
    tracing: ModelTracing
    more: dict[str, Any]

    def arguments(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return (
            self.system_instructions,
            self.input,
            self.model_settings,
            self.tools,
            self.output_schema,
            self.handoffs,
            self.tracing,
        )


class TappedModel(Model):
    """The models of one run. `run_model` is the one that the run's configuration names for all agents."""

    def __init__(
        self,
        run_model: str | Model | None,
        provider: ModelProvider,
        invocation: OpenAIAgentsInvocation,
    ) -> None:
        self.run_model = run_model
        self._provider = provider
        self._invocation = invocation
        self._models: list[Model] = []

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:
        call = _call(arguments, more)
        output = await self._invocation.at_work.before_reply(call.input, _names(call))
        if output is not None:
            return ModelResponse(output, Usage(), None)
        self._prepare(call)
        last: Any = None
        async with aclosing(self._events(call)) as events:
            async for event in events:
                last = event
        if isinstance(last, ModelResponse):
            return last
        raise AssertionError("a reply that ends has a response")

    async def stream_response(
        self, *arguments: Any, **more: Any
    ) -> AsyncGenerator[TResponseStreamEvent]:
        call = _call(arguments, more)
        output = await self._invocation.at_work.before_reply(call.input, _names(call))
        if output is not None:
            yield _completed_event(output)
            return
        self._prepare(call)
        async with aclosing(self._events(call)) as events:
            async for event in events:
                if not isinstance(event, ModelResponse):
                    yield event

    def get_retry_advice(self, request: Any) -> Any:
        return self._models[-1].get_retry_advice(request) if self._models else None

    async def _cleanup_on_run_end(self, owner: object) -> None:
        for model in self._models:
            await model._cleanup_on_run_end(owner)  # pyright: ignore[reportPrivateUsage] - passed on

    async def _events(
        self, call: ModelCall
    ) -> AsyncGenerator[TResponseStreamEvent | ModelResponse]:
        """The model's events, each recorded before it is passed on; the whole response in the end."""
        now = self._invocation.at_work
        model = self._model(now.agent)
        with now.reply(_names(call)) as reply:
            stream = model.stream_response(*call.arguments(), **call.more)
            try:
                async with aclosing(cast("AsyncGenerator[TResponseStreamEvent]", stream)) as events:
                    async for event in events:
                        reply.take(event)
                        await now.room()
                        yield event
            except NotImplementedError:  # raised by a model that cannot stream
                if reply.has_output:
                    raise
                whole = await model.get_response(*call.arguments(), **call.more)
                reply.whole(whole, str(getattr(model, "model", "")), whole.response_id)
                yield _completed_event(whole.output)
                yield whole
                return
            reply.finish()
        response = reply.response
        yield ModelResponse(reply.output, _usage(response.usage), response.id)

    def _model(self, agent: Agent[Any]) -> Model:
        model = self.run_model if self.run_model is not None else agent.model
        if not isinstance(model, Model):
            model = self._provider.get_model(model)
        if model not in self._models:
            self._models.append(model)
        return model

    def _prepare(self, call: ModelCall) -> None:
        """Restore what the runner omitted because a model was named, and add the client's settings."""
        now = self._invocation.at_work
        call.model_settings = self._defaults(now.agent).resolve(call.model_settings)
        if not now.answers_client:
            return
        call.input = with_late_inputs(call.input, now.late_inputs())
        request = now.context.request
        instructions = filter(None, (call.system_instructions, request.instructions))
        call.system_instructions = "\n\n".join(instructions) or None
        call.model_settings = call.model_settings.resolve(settings(request.settings))
        if not now.has_replied:  # forced on every reply it would never let the agent end
            call.model_settings = call.model_settings.resolve(_choice(request.settings))
        if request.settings.output.kind == "json_schema" and call.output_schema is None:
            call.output_schema = RequestSchema(request.settings.output)

    def _defaults(self, agent: Agent[Any]) -> ModelSettings:
        """The default settings of a model's name, for an agent without settings."""
        if isinstance(agent.model, Model) or isinstance(self.run_model, Model):
            return ModelSettings()
        if agent.model_settings != get_default_model_settings(agent.model):
            return ModelSettings()
        return get_default_model_settings(self.run_model or agent.model)


class RequestSchema(AgentOutputSchemaBase):
    """The JSON schema of the client's request for the answer. Only the model receives it; the runner
    validates nothing."""

    def __init__(self, output: OutputFormat) -> None:
        self._output = output

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return self._output.name or "answer"

    def json_schema(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self._output.schema or {})

    def is_strict_json_schema(self) -> bool:
        return bool(self._output.strict)

    def validate_json(self, json_str: str) -> Any:
        return json_str


def settings(request_settings: Settings) -> ModelSettings:
    """The settings of the client's request, in the SDK's form."""
    thinking = {
        "effort": request_settings.reasoning_effort,
        "summary": request_settings.reasoning_summary,
    }
    reasoning = {name: value for name, value in thinking.items() if value}
    return ModelSettings(
        temperature=request_settings.temperature,
        top_p=request_settings.top_p,
        frequency_penalty=request_settings.frequency_penalty,
        presence_penalty=request_settings.presence_penalty,
        parallel_tool_calls=request_settings.parallel_tool_calls,
        max_tokens=request_settings.max_output_tokens,
        top_logprobs=request_settings.top_logprobs,
        reasoning=Reasoning.model_validate(reasoning) if reasoning else None,
        verbosity=cast("Any", request_settings.verbosity or None),
    )


def _choice(request_settings: Settings) -> ModelSettings:
    choice = request_settings.tool_choice
    if choice.mode == "auto" and not choice.names:
        return ModelSettings()
    return ModelSettings(tool_choice=choice.names[0] if choice.names else choice.mode)


def _call(arguments: tuple[Any, ...], more: dict[str, Any]) -> ModelCall:
    """A call's arguments, which the runner gives by name or by position."""
    names = list(ModelCall.__dataclass_fields__)[:-1]
    by_name = dict(zip(names, arguments, strict=False))
    by_name |= {name: more.pop(name) for name in names if name in more}
    return ModelCall(**by_name, more=more)


def _names(call: ModelCall) -> list[str]:
    """The tools for handoffs."""
    return [handoff.tool_name for handoff in call.handoffs]


def _usage(counts: Any) -> Usage:
    if counts is None:
        return Usage(requests=1)
    return Usage(
        requests=1,
        input_tokens=counts.input_tokens or 0,
        output_tokens=counts.output_tokens or 0,
        total_tokens=counts.total_tokens or 0,
        input_tokens_details=counts.input_tokens_details,
        output_tokens_details=counts.output_tokens_details,
    )


def _completed_event(output: list[TResponseOutputItem]) -> ResponseCompletedEvent:
    """A complete reply, for a runner that streams."""
    response = Response.model_construct(
        id="resp_recorded",
        created_at=0,
        model="",
        object="response",
        output=output,
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
    )
    return ResponseCompletedEvent(response=response, sequence_number=0, type="response.completed")
