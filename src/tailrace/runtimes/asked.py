"""What an agent's model is asked for a client's request, and whether its server can be asked that. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events.items import Item
from tailrace.events.request import ModelRequest, RunRequest, ToolChoice
from tailrace.models.contract import Model, refusal
from tailrace.runtimes.agent import Agent


def model_request(agent: Agent, request: RunRequest, items: Sequence[Item]) -> ModelRequest:
    """What an agent's model is asked for a client's request, wherever the agent works: its own instructions
    before the client's, and the form of answers that it must have unless the client asks for another."""
    settings = request.settings
    if agent.output is not None and settings.output.kind == "text":
        settings = msgspec.structs.replace(settings, output=agent.output)
    instructions = "\n\n".join(filter(None, (agent.instructions, request.instructions)))
    return ModelRequest(items=tuple(items), instructions=instructions, settings=settings)


def refusal_of(agent: Agent, model: Model, request: RunRequest) -> ModelFailed | None:
    """Why an agent's model cannot be asked what a client asks, as far as that is known before a run: which
    tools the agent will have is not, so a choice among them is left to the run."""
    probe = model_request(agent, request, (*request.history, *request.input))
    settings = msgspec.structs.replace(probe.settings, tool_choice=ToolChoice())
    return refusal(model, msgspec.structs.replace(probe, settings=settings))
