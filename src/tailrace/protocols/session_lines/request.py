"""A client's `POST /api/stream` as a run request."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, CallerError
from tailrace.events.items import FilePart, ImagePart, Json, Message, Part, TextPart
from tailrace.events.request import RunRequest
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    optional,
    text,
    without_empty,
)

SURFACE = "session"
MAX_NAME = 256
"""Maximum length of the name of a session, tenant or user, in characters."""


class SessionRequest(Struct, frozen=True):
    """A decoded request; `agent` and `session` are empty if the client leaves them to the server. `unknown`
    are the keys with values that this server does not know."""

    request: RunRequest
    agent: str
    session: str
    tenant: str
    unknown: tuple[str, ...] = ()


KEYS = ("message", "attachments", "agentId", "sessionId", "tenantId", "userId")


def decode(body: bytes) -> SessionRequest:
    """Decode a request; `request.agent` and `.model` are left empty. Raises `BadRequest`."""
    try:
        fields = body_object(body)
    except BadRequest as error:
        raise BadRequest(f"Invalid JSON body: {error.message}") from None
    attachments = fields.get("attachments")
    parts = () if attachments is None else _attachments(attachments)
    message = fields.get("message")
    if not isinstance(message, str) or not (message or parts):
        raise BadRequest("Field 'message' is required and must be a string", param="message")
    names = {name: _name(fields, name) for name in ("agentId", "sessionId", "tenantId", "userId")}
    content: tuple[Part, ...] = (*((TextPart(message),) if message else ()), *parts)
    request = RunRequest(
        agent="",
        model="",
        surface=SURFACE,
        input=(Message(role="user", content=content),),
        metadata=without_empty({name: names[name] for name in ("tenantId", "userId")}),
    )
    unknown = tuple(name for name in fields if name not in KEYS and fields[name] is not None)
    return SessionRequest(request, names["agentId"], names["sessionId"], names["tenantId"], unknown)


def _name(fields: Object, name: str) -> str:
    value = optional(fields, name, str, default="")
    if len(value) > MAX_NAME or not value.isprintable():
        raise BadRequest(f"Field '{name}' is not a usable name", param=name)
    return value


def _attachments(value: Json) -> tuple[Part, ...]:
    return tuple(
        _attachment(as_object(each, f"attachments[{n}]"), f"attachments[{n}]")
        for n, each in enumerate(as_list(value, "attachments"))
    )


def _attachment(fields: Object, where: str) -> Part:
    kind = text(fields, "mimeType", where)
    url = f"data:{kind};base64,{text(fields, 'base64', where)}"
    if kind.startswith("image/"):
        return ImagePart(url=url)
    return FilePart(data=url, filename=optional(fields, "name", str, default="", where=where))


def error_body(error: CallerError, _: str) -> bytes:
    """`{"error": message}`."""
    return msgspec.json.encode({"error": error.message})
