"""The input of an image or of speech: the text of the conversation, and the caller's options."""

from __future__ import annotations

from tailrace.events.items import Json, Message, text_of
from tailrace.events.request import ModelRequest


def prompt(request: ModelRequest) -> str:
    """Instructions, then the user's messages, a paragraph each."""
    texts = [
        text_of(item.content)
        for item in request.items
        if isinstance(item, Message) and item.role == "user"
    ]
    return "\n\n".join(filter(None, (request.instructions, *texts)))


def options(request: ModelRequest, dialect: str) -> dict[str, Json]:
    """Parameters for this endpoint."""
    return request.settings.extra if request.settings.origin == dialect else {}
