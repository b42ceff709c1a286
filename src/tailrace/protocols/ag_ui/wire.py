"""Parts of AG-UI events: ids, interrupts, state, usage, and the AG-UI values of tailrace's enumerations.

Content without a field in the protocol (interrupted messages, citations, failed tools) is in an event's
`metadata` under the key `tailrace`; clients keep it with the message that the event builds.
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
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.framing.data_event import frame

SURFACE = "agui"
VERSION = "1.0"
"""The version of the protocol in `RUN_STARTED`."""
KEY = "tailrace"
APPROVAL, QUESTION, WAIT = "apr", "ask", "wait"
"""The prefixes of interrupt ids: the approval of a call, the answer to a question, any other pause."""
STATE_SNAPSHOT, STATE_DELTA = "state.snapshot", "state.delta"
"""Names of an agent's custom events that set or change the state."""
STATUS_ABANDONED = "abandoned"
"""The status of a message that a crash interrupted and another reply replaced: it is not part of the
answer."""
TAKEN_BACK = "tailrace.abandoned"
"""The type of the activity that replaces such a message."""
FILE = "tailrace.file"
"""Name of the custom event for a picture or a sound: messages of agents can only contain text."""

GOODBYE = frame(
    {
        "type": "RUN_ERROR",
        "message": "The stream was cut off before its end; send the same request again for all of it.",
        "code": "stream_cut_off",
    }
)
"""The end of a stream that is not whole: a connection that breaks ends the process of some clients."""

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
    """The id of a call. tailrace generates it, because a model's id can occur twice in a thread."""
    return ids.item_id("call", run, item)


def turn_id(run: str, turn: int) -> str:
    """The id of a turn for which no AG-UI client chose one."""
    return f"{ids.run_id(run)}_{turn + 1}" if turn else ids.run_id(run)


def metadata(**values: Json) -> Object:
    """tailrace's `metadata` for data without a field in the protocol; empty if there are no values."""
    fields = without_empty(values)
    return {"metadata": {KEY: fields}} if fields else {}


def taken_back(message: str) -> Object:
    """The activity that replaces a message that is not part of the answer."""
    fields: Object = {"type": "ACTIVITY_SNAPSHOT", "messageId": message}
    return {
        **fields,
        "activityType": TAKEN_BACK,
        "content": {"status": STATUS_ABANDONED},
        "replace": True,
    }


def approval(run: str, time: int, request: t.ApprovalRequested, *, has_call: bool) -> Object:
    """The interrupt for the `time`th approval of a call; `has_call`: the client has received the call."""
    call = {"toolCallId": call_id(run, request.item)} if has_call else {}
    id = ids.asked_id(ids.item_id(APPROVAL, run, request.item), time)
    fields = {"id": id, "reason": "tool_call", **call}
    return {
        **fields,
        **without_empty({"message": request.message}),
        "responseSchema": _decision_schema(request),
    }


def _decision_schema(request: t.ApprovalRequested) -> Object:
    """The schema of the `payload` that answers an approval request: only the decisions that it allows."""
    allowed = request.decisions  # none in logs of 0.1, whose streams keep their bytes
    properties: Object = {"approved": {"type": "boolean"}, "reason": {"type": "string"}}
    if "edit" in allowed:
        properties["editedArgs"] = request.schema or {"type": "object"}
    if "respond" not in allowed:
        return {"type": "object", "properties": properties, "required": ["approved"]}
    properties["response"] = {"type": "string"}
    return {
        "type": "object",
        "properties": properties,
        "anyOf": [{"required": ["approved"]}, {"required": ["response"]}],
    }


def question(run: str, number: int, request: t.InputRequested, *, has_call: bool) -> Object:
    """The interrupt for a question; `number` counts the questions of the run."""
    fields: Object = {"id": ids.item_id(QUESTION, run, number), "reason": "input_required"}
    if has_call and request.item is not None:
        fields["toolCallId"] = call_id(run, request.item)
    schema = any_object(request.schema)
    return {**fields, **without_empty({"message": request.message, "responseSchema": schema})}


def custom(payload: t.Custom) -> Object:
    """An agent's custom event: a state event if clients can apply it, otherwise `CUSTOM`."""
    if payload.name == STATE_SNAPSHOT:
        return {"type": "STATE_SNAPSHOT", "snapshot": payload.data}
    if payload.name == STATE_DELTA and is_patch(payload.data):
        return {"type": "STATE_DELTA", "delta": payload.data}
    return {"type": "CUSTOM", "name": payload.name, "value": payload.data}


def is_patch(value: Json) -> bool:
    """Whether the value is a JSON Patch (RFC 6902). Whether it fits the state is only known when it is
    applied."""
    return isinstance(value, list) and all(map(_is_operation, cast("list[Json]", value)))


def _is_operation(value: Json) -> bool:
    fields = any_object(value)
    operation = fields.get("op")
    members = _OPERATIONS.get(operation) if isinstance(operation, str) else None
    if members is None or any(name not in fields for name in members):
        return False
    pointers = [fields.get("path"), *(fields[name] for name in members if name == "from")]
    return all(isinstance(each, str) and _POINTER.fullmatch(each) for each in pointers)


def file(part: Part) -> Object | None:
    """The event for a picture or a sound; None if the part has no URL to show it by."""
    source = media.source_of(part)
    if source is None:
        return None
    value = {"url": source.url, "mimeType": source.media_type}
    return {"type": "CUSTOM", "name": FILE, "value": value}


def usage(by_model: Mapping[str, Totals]) -> Object:
    """The field `usage`: tokens by model; empty if no model was called."""
    entries = [
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
    return without_empty({"usage": entries})
