"""A request that its model's server has no form for is refused before a run begins: 400 with the place.

The server's codec knows of an item which it is; where in the request that stands, and how the client's
surface writes such a place, is asked here, of the request's body, for it is needed for nothing else.
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


def bad_request(refused: ModelFailed, request: RunRequest, body: bytes) -> BadRequest:
    """The refusal as the client is told it."""
    param = place(refused, request, body) if isinstance(refused, NoForm) else refused.param
    said = refused.message
    if request.surface == "messages" and param:  # whose errors have no field for it
        said = f"{param}: {said}"
    return BadRequest(said, param=param, code=refused.code)


def place(refused: NoForm, request: RunRequest, body: bytes) -> str:
    """Where in the request that stands which is refused."""
    find = _PLACES.get(request.surface)
    if refused.item is None or find is None:
        return refused.param
    if found := find(body, refused.item, refused.part):
        return f"{found}.{refused.field}" if refused.field else found
    return _before(request) if refused.item in request.history else refused.param


def _before(request: RunRequest) -> str:
    """What of a request brings in what was said in earlier turns."""
    if request.previous:
        return "previous_response_id"
    return "conversation_id" if request.session else "conversation"
