"""Content that a model server has no form for is refused before a run starts: 400 with its place in the
request.

The codec names an item; its place in the client's request, in the surface's notation, is found in the body,
which is parsed again for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tailrace.errors import BadRequest, ModelFailed, NoForm
from tailrace.events.items import Item, Part
from tailrace.events.request import RunRequest
from tailrace.protocols.ag_ui import messages as agui
from tailrace.protocols.ai_sdk_ui import messages as ui
from tailrace.protocols.anthropic_messages import content
from tailrace.protocols.openai_chat import messages
from tailrace.protocols.openai_responses import request as responses

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


def _before(request: RunRequest) -> str:
    """The parameter of a request that names its earlier turns."""
    if request.previous:
        return "previous_response_id"
    return "conversation_id" if request.session else "conversation"
