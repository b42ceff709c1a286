"""A configured model served without an agent: one model call.

The client's tools, parameters and input go to the model server; its reply is the run. After a crash an
unfinished call is made again, as a new reply; a finished one is not repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from msgspec import structs

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest, RunRequest
from tailrace.events.types import MAIN, AgentEntry
from tailrace.models.contract import Model, refusal
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import NODE, ModelReply, ending, opening
from tailrace.runtimes.repeating import beginning


class Gateway:
    """Runs one call of `model`."""

    resumes: bool = True
    repeats = True

    def __init__(self, model: Model) -> None:
        self._model = model

    def registry(self) -> Sequence[AgentEntry]:
        return (AgentEntry(MAIN, self._model.name),)

    def refusal(self, request: RunRequest) -> ModelFailed | None:
        return refusal(self._model, _model_request(request))

    async def run(self, context: RunContext) -> None:
        request = context.request
        context.emit(opening(context.state, self._model.name))
        if not context.state.replies.get(MAIN):
            reply = ModelReply(context.state)
            ask = structs.replace(
                _model_request(request), beginning=beginning(context.state, NODE, MAIN)
            )
            batches = self._model.stream(ask)
            async with aclosing(batches):
                async for payloads in batches:
                    context.emit(reply.convert(payloads))
                    await context.room()
        context.emit(ending(context.state))


def _model_request(request: RunRequest) -> ModelRequest:
    """The model's request: the client's request."""
    return ModelRequest(
        items=(*request.history, *request.input),
        instructions=request.instructions,
        settings=request.settings,
    )
