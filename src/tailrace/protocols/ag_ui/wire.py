"""Pieces of the events: ids, what is asked of people, state, usage, and our words in AG-UI's.

What has no field in the protocol (what was cut off, citations, failed tools) rides in an event's `metadata`
under the key `tailrace`; clients keep it with the message that the event builds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json, Part
from tailrace.events.usage import Totals
from tailrace.protocols import media
from tailrace.protocols.fields import Object, any_object, given
from tailrace.protocols.framing.data_event import frame

SURFACE = "agui"
VERSION = "1.0"
"""The protocol that is spoken, as `RUN_STARTED` says."""
KEY = "tailrace"
APPROVAL, QUESTION, WAIT = "apr", "ask", "wait"
"""What an interrupt's id begins with: a yes to a call, an answer, anything else that is waited for."""
STATE_SNAPSHOT, STATE_DELTA = "state.snapshot", "state.delta"
"""Names of an agent's custom events that set the state and change it."""
ABANDONED = "abandoned"
"""The status of what a crash cut off and was said anew, in other words: no part of the answer."""
TAKEN_BACK = "tailrace.abandoned"
"""The type of the activity that takes the place of such a message."""
FILE = "tailrace.file"
"""Name of the custom event that shows a picture or a sound: messages of agents are text alone."""

GOODBYE = frame(
    {
        "type": "RUN_ERROR",
        "message": "The stream was cut off before its end; send the same request again for all of it.",
        "code": "stream_cut_off",
    }
)
"""The end of a stream that is not whole: a connection that breaks ends the process of some clients."""

_APPROVED: Object = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
_POINTER = re.compile(r"(/([^/~]|~[01])*)*")
_OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


def call_id(run: str, item: int) -> str:
    """A call's id: our own, for a model's may come twice in a thread."""
    return ids.item_id("call", run, item)


def turn_id(run: str, turn: int) -> str:
    """The id of a turn that no AG-UI client named."""
    return f"{ids.run_id(run)}_{turn + 1}" if turn else ids.run_id(run)


def metadata(**said: Json) -> Object:
    """Fields for what the protocol has none for; none where there is nothing to say."""
    told = given(said)
    return {"metadata": {KEY: told}} if told else {}


def taken_back(message: str) -> Object:
    """What takes the place of a message that is no part of the answer."""
    told: Object = {"type": "ACTIVITY_SNAPSHOT", "messageId": message}
    return {**told, "activityType": TAKEN_BACK, "content": {"status": ABANDONED}, "replace": True}


def approval(run: str, time: int, asked: t.ApprovalRequested, *, shown: bool) -> Object:
    """What asks for a yes to a call, for the `time`th time; `shown`: the client has seen the call."""
    call = {"toolCallId": call_id(run, asked.item)} if shown else {}
    id = ids.asked_id(ids.item_id(APPROVAL, run, asked.item), time)
    told = {"id": id, "reason": "tool_call", **call}
    return {**told, **given({"message": asked.message}), "responseSchema": _APPROVED}


def question(run: str, number: int, asked: t.InputRequested, *, shown: bool) -> Object:
    """What asks for an answer; `number` counts the questions of the run."""
    told: Object = {"id": ids.item_id(QUESTION, run, number), "reason": "input_required"}
    if shown and asked.item is not None:
        told["toolCallId"] = call_id(run, asked.item)
    schema = any_object(asked.schema)
    return {**told, **given({"message": asked.message, "responseSchema": schema})}


def custom(payload: t.Custom) -> Object:
    """An agent's own event: of the state, where it is one that clients can apply, or as it is."""
    if payload.name == STATE_SNAPSHOT:
        return {"type": "STATE_SNAPSHOT", "snapshot": payload.data}
    if payload.name == STATE_DELTA and is_patch(payload.data):
        return {"type": "STATE_DELTA", "delta": payload.data}
    return {"type": "CUSTOM", "name": payload.name, "value": payload.data}


def is_patch(value: Json) -> bool:
    """Whether this is a JSON Patch (RFC 6902); whether it fits the state, who applies it will see."""
    return isinstance(value, list) and all(map(_is_operation, cast("list[Json]", value)))


def _is_operation(value: Json) -> bool:
    fields = any_object(value)
    operation = fields.get("op")
    needed = _OPERATIONS.get(operation) if isinstance(operation, str) else None
    if needed is None or any(name not in fields for name in needed):
        return False
    pointers = [fields.get("path"), *(fields[name] for name in needed if name == "from")]
    return all(isinstance(each, str) and _POINTER.fullmatch(each) for each in pointers)


def file(part: Part) -> Object | None:
    """A picture or a sound; None where there is nothing to show it by."""
    shown = media.shown(part)
    if shown is None:
        return None
    value = {"url": shown.url, "mimeType": shown.media_type}
    return {"type": "CUSTOM", "name": FILE, "value": value}


def usage(by_model: Mapping[str, Totals]) -> Object:
    """The field `usage`: tokens by model; none where no model was asked."""
    counted = [
        {
            "model": model,
            "inputTokens": totals.input,
            "outputTokens": totals.output,
            "totalTokens": totals.input + totals.output,
            "reasoningTokens": totals.reasoning,
            "cachedInputTokens": totals.cached,
            "cacheWriteInputTokens": totals.cache_write,
        }
        for model, totals in by_model.items()
    ]
    return given({"usage": counted})
