"""Conversation objects in OpenAI's JSON form."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tailrace.errors import NotFound
from tailrace.events.items import Item
from tailrace.protocols.fields import body_object, metadata
from tailrace.protocols.openai_responses import items
from tailrace.protocols.openai_responses.reply import Pair, encode_list

_json = msgspec.json.Encoder().encode


class ConversationChange(Struct, frozen=True):
    """The change that a request makes to a conversation."""

    metadata: dict[str, str]
    items: tuple[Item, ...]


def decode(body: bytes) -> ConversationChange:
    """Decode the body of a create, update or add request; an empty body changes nothing."""
    fields = body_object(body or b"{}")
    values = fields.get("items")
    return ConversationChange(
        metadata(fields), items.decode_input(values, "items") if values else ()
    )


def conversation(id: str, created: int, labels: dict[str, str]) -> bytes:
    """Encode a conversation; `created` is in milliseconds since the epoch."""
    fields = {
        "id": id,
        "object": "conversation",
        "created_at": created // 1000,
        "metadata": labels,
    }
    return _json(fields)


def deletion(id: str) -> bytes:
    """The response to a delete request."""
    return _json({"id": id, "object": "conversation.deleted", "deleted": True})


def item(pairs: Sequence[Pair], id: str) -> bytes:
    """Encode one item of a conversation. Raises `NotFound`."""
    for fields in encode_list(pairs):
        if fields["id"] == id:
            return _json(fields)
    raise NotFound(f"No item found with id '{id}'.", code="not_found")
