"""A run as one document: the stored response, its input items, and token counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tailrace.errors import BadRequest
from tailrace.events import ids
from tailrace.events.items import Item, ProviderItem
from tailrace.events.request import RunRequest
from tailrace.events.types import Event
from tailrace.protocols.counting import tokens
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_responses import items
from tailrace.protocols.openai_responses.stream import ResponsesEncoder, ResponsesStreamOptions

Pair = tuple[str, Item]
WITH_STATUS = frozenset({"message", "function_call", "function_call_output"})

_json = msgspec.json.Encoder().encode


def response(run: str, events: Sequence[Event], options: ResponsesStreamOptions) -> bytes:
    """The Response object after these events: for an ended run, exactly the object in the last event
    of its stream."""
    encoder = ResponsesEncoder(run, options)
    encoder.encode(events)
    return _json(encoder.document())


def deletion(run: str) -> bytes:
    """The response to a delete request."""
    return _json({"id": ids.response_id(run), "object": "response", "deleted": True})


def input_items(run: str, request: RunRequest, query: Mapping[str, str]) -> bytes:
    """A page of the input of a run: earlier turns first, then its own input."""
    all_items = (*request.history, *request.input)
    return page([(f"item_{run}_{n}", item) for n, item in enumerate(all_items)], query)


def page(pairs: Sequence[Pair], query: Mapping[str, str]) -> bytes:
    """A list page by `limit` (1 to 100, default 20), `order` (default desc) and `after`."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("order must be asc or desc.", param="order")
    limit = query.get("limit", "20")
    if not limit.isascii() or not limit.isdigit() or len(limit) > 3 or not 1 <= int(limit) <= 100:
        raise BadRequest("limit must be a whole number from 1 to 100.", param="limit")
    objects = encode_list(pairs)
    if order == "desc":
        objects.reverse()
    after = query.get("after")
    if after:
        places = [n for n, item in enumerate(objects) if item["id"] == after]
        if not places:
            raise BadRequest(f"No item found with id '{after}'.", param="after")
        objects = objects[places[0] + 1 :]
    data = objects[: int(limit)]
    return _json(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(objects) > len(data),
        }
    )


def encode_list(pairs: Sequence[Pair]) -> list[Object]:
    """Encode items with their ids, as lists show them; items that only another dialect has are left out."""
    own_pairs = [
        (id, item)
        for id, item in pairs
        if not isinstance(item, ProviderItem) or item.dialect == items.DIALECT
    ]
    objects = items.encode_items((item for _, item in own_pairs), for_client=True)
    return [
        {**value, "id": id, **({"status": "completed"} if value["type"] in WITH_STATUS else {})}
        for (id, _), value in zip(own_pairs, objects, strict=True)
    ]


def input_tokens(request: RunRequest) -> bytes:
    """The estimated number of input tokens of a request."""
    return _json({"object": "response.input_tokens", "input_tokens": tokens(request)})
