"""Interrupts in the form of the Agent Inbox (`langgraph.prebuilt.interrupt.HumanInterrupt`), as questions.

A graph interrupts with one request or a list of them, and reads the response, or the list of responses, that
the person gives: `{type: accept | edit | response | ignore, args}`. The request says which types it allows,
so an answer of any other type is refused before the graph reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from tailrace.events.items import Json

TYPES = {
    "allow_accept": "accept",
    "allow_edit": "edit",
    "allow_respond": "response",
    "allow_ignore": "ignore",
}
Request = dict[str, Any]


def requests(value: object) -> list[Request]:
    """The requests of an interrupt; empty for an interrupt of another form."""
    entries = cast("Sequence[object]", value) if isinstance(value, list | tuple) else [value]
    matches = [cast("Request", entry) for entry in entries if _is_request(entry)]
    return matches if len(matches) == len(entries) else []


def message(value: object) -> str:
    """The text for the person: the descriptions, or the actions; `""` for an interrupt of another form."""
    return "\n\n".join(_description(request) for request in requests(value))


def schema(value: object) -> Json:
    """The schema of the answer: a response, or a list of as many as there are requests; None for an interrupt
    of another form."""
    responses = [_response_schema(request) for request in requests(value)]
    if not responses or not isinstance(value, list | tuple):
        return responses[0] if responses else None
    count = len(responses)
    return {"type": "array", "prefixItems": responses, "minItems": count, "maxItems": count}


def _is_request(entry: object) -> bool:
    match entry:
        case {"action_request": {"action": str()}, "config": dict()}:
            return True
        case _:
            return False


def _description(request: Request) -> str:
    action = request["action_request"]
    arguments = msgspec.json.encode(action.get("args"), enc_hook=str).decode()
    return str(request.get("description") or f"{action['action']}({arguments})")


def _response_schema(request: Request) -> dict[str, Any]:
    types = [name for key, name in TYPES.items() if request["config"].get(key)]
    return {
        "type": "object",
        "properties": {"type": {"enum": types}, "args": {}},
        "required": ["type"],
        "additionalProperties": False,
    }
