"""Requests that their model cannot serve: refused before a run starts, or by the model server before any
output.

Content that a model server has no form for is a 400 with its place in the client's request. The codec names
an item; its place, in the surface's notation, is found in the body, which is parsed again for that.

A run whose model server refuses it before any output gets the HTTP status of the model server.

SDKs choose their exception, and whether to retry, by the status alone; after a 200 they do neither
(docs/adr/0016). So the head of a stream waits for the first output of its run, for at most `HEAD_SECONDS`: a
client that resumes a run needs its id, and proxies need a first byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tailrace.errors import BadRequest, ModelFailed, NoForm
from tailrace.events.items import Item, Part
from tailrace.events.request import RunRequest
from tailrace.events.types import (
    AgentCompleted,
    AgentStarted,
    Event,
    NodeCompleted,
    NodeFailed,
    NodeStarted,
    Payload,
    RunAttempt,
    RunFailed,
    RunStarted,
)
from tailrace.log.contract import EventLog
from tailrace.protocols.ag_ui import messages as agui
from tailrace.protocols.ai_sdk_ui import messages as ui
from tailrace.protocols.anthropic_messages import content
from tailrace.protocols.openai_chat import messages
from tailrace.protocols.openai_responses import request as responses
from tailrace.runtimes.contract import Feature

HEAD_SECONDS = 2.0
NO_OUTPUT = (
    RunStarted,
    RunAttempt,
    NodeStarted,
    NodeCompleted,
    NodeFailed,
    AgentStarted,
    AgentCompleted,
)
"""Events before the first output of a run."""


async def early_failure(log: EventLog, run: str, seconds: float) -> RunFailed | None:
    """The failure of a run at its model server, if it comes first and within `seconds`."""
    first: asyncio.Future[Payload] = asyncio.get_running_loop().create_future()

    def take(events: Sequence[Event]) -> None:
        payload = first_output(events)
        if payload is not None and not first.done():
            first.set_result(payload)

    unwatch = log.watch(run, take)
    try:
        take(await log.read(run, -1))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, HEAD_SECONDS)):
                return model_failure(await first)
        return None
    finally:
        unwatch()


def first_output(events: Sequence[Event]) -> Payload | None:
    """The first of these events that is output, or the end of the run."""
    payloads = (event.payload for event in events)
    return next((each for each in payloads if not isinstance(each, NO_OUTPUT)), None)


def model_failure(end: Payload | None) -> RunFailed | None:
    """The failure of a run at its model server; None for any other end."""
    return end if isinstance(end, RunFailed) and end.status else None


Place = Callable[[bytes, Item, Part | None], str]
_PLACES: Mapping[str, Place] = {
    "agui": agui.place,
    "chat": messages.place,
    "messages": content.place,
    "responses": responses.place,
    "ui": ui.place,
}


def bad_request(failure: ModelFailed, request: RunRequest, body: bytes) -> BadRequest:
    """The failure as the client's error."""
    param = place(failure, request, body) if isinstance(failure, NoForm) else failure.param
    message = failure.message
    if request.surface == "messages" and param:  # its errors have no field for it
        message = f"{param}: {message}"
    return BadRequest(message, param=param, code=failure.code)


def place(failure: NoForm, request: RunRequest, body: bytes) -> str:
    """The place of the refused content in the request."""
    find = _PLACES.get(request.surface)
    if failure.item is None or find is None:
        return failure.param
    if where := find(body, failure.item, failure.part):
        return f"{where}.{failure.field}" if failure.field else where
    return _before(request) if failure.item in request.history else failure.param


_WORDS: Mapping[Feature, str] = {
    "json_schema": "answer in a JSON schema of the request",
    "json_object": "be forced to answer with a JSON object",
    "tool_choice": "be forced to call a tool",
    "stop": "stop at a text",
    "logprobs": "return log probabilities",
    "seed": "use a seed",
    "custom_tools": "call custom tools",
}
_PARAMS: Mapping[str, Mapping[Feature, str]] = {
    "chat": {
        "json_schema": "response_format",
        "json_object": "response_format",
        "custom_tools": "tools",
    },
    "responses": {
        "json_schema": "text.format",
        "json_object": "text.format",
        "logprobs": "include",
        "custom_tools": "tools",
    },
    "messages": {"json_schema": "output_config.format", "stop": "stop_sequences"},
    "native": {
        "json_schema": "settings.output",
        "json_object": "settings.output",
        "custom_tools": "settings.tools",
    },
}
"""The parameter of each surface, where it is not the name of the feature."""


def lacking(feature: Feature, request: RunRequest) -> BadRequest:
    """The error for a request that its agent cannot do."""
    prefix = "settings." if request.surface == "native" else ""
    param = _PARAMS.get(request.surface, {}).get(feature, f"{prefix}{feature}")
    message = f"{request.agent} cannot {_WORDS[feature]}."
    if request.surface == "messages":  # its errors have no field for it
        message = f"{param}: {message}"
    return BadRequest(message, param=param, code="unsupported_parameter")


def item_place(request: RunRequest, body: bytes, number: int) -> str:
    """The path of an item of a request's input in the body."""
    if request.surface == "responses":
        return f"input[{number}]"
    return _PLACES[request.surface](body, request.input[number], None)


def _before(request: RunRequest) -> str:
    """The parameter of a request that names its earlier turns."""
    if request.previous:
        return "previous_response_id"
    return "conversation_id" if request.session else "conversation"
