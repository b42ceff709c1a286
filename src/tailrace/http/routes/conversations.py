"""`/conversations`: lists of items that turns are added to, in OpenAI's form."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import Route

from tailrace.errors import BadRequest
from tailrace.events import ids
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.mounts import Mount
from tailrace.http.replies import json_reply
from tailrace.protocols.failures import error_body
from tailrace.protocols.openai_responses import conversations as wire
from tailrace.protocols.openai_responses import reply
from tailrace.runs.conversations import Conversation, Entry
from tailrace.runs.owner import Owner
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService

MAX_ADDED = 20
"""Items in one request, as OpenAI limits them."""


def routes(service: RunService, edge: Edge, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Conversations(service, edge)
    one, items = "/conversations/{conversation_id}", "/conversations/{conversation_id}/items"
    table = {
        ("POST", "/conversations"): handlers.create,
        ("GET", one): handlers.retrieve,
        ("POST", one): handlers.update,
        ("DELETE", one): handlers.delete,
        ("POST", items): handlers.add,
        ("GET", items): handlers.items,
        ("GET", items + "/{item_id}"): handlers.item,
        ("DELETE", items + "/{item_id}"): handlers.remove,
    }
    return guarded_routes(edge.gate, table, error_body, mount.path)


class _Conversations:
    def __init__(self, service: RunService, edge: Edge) -> None:
        self._edge = edge
        self._conversations = service.conversations

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Create a conversation, with items."""
        wire_request = wire.decode(await self._edge.body(http, caller))
        _check_count(wire_request.items)
        id = ids.conversation_id(secrets.token_bytes(16))
        conversation = await self._conversations.create(
            id, caller.maker, wire_request.metadata, wire_request.items
        )
        return _document(conversation)

    async def retrieve(self, http: Request, caller: Caller) -> Reply:
        """A conversation."""
        return _document(await self._conversations.get(*_key(http, caller)))

    async def update(self, http: Request, caller: Caller) -> Reply:
        """Replace the metadata of a conversation."""
        wire_request = wire.decode(await self._edge.body(http, caller))
        return _document(
            await self._conversations.update(*_key(http, caller), wire_request.metadata)
        )

    async def delete(self, http: Request, caller: Caller) -> Reply:
        """Delete a conversation; its runs stay."""
        id, owner = _key(http, caller)
        await self._conversations.delete(id, owner)
        return json_reply(wire.deletion(id))

    async def add(self, http: Request, caller: Caller) -> Reply:
        """Add items."""
        wire_request = wire.decode(await self._edge.body(http, caller))
        if not wire_request.items:
            raise BadRequest("items must not be empty.", param="items")
        _check_count(wire_request.items)
        entries = await self._conversations.add_items(*_key(http, caller), wire_request.items)
        return json_reply(reply.page(_pairs(entries), {}))

    async def items(self, http: Request, caller: Caller) -> Reply:
        """A page of items."""
        entries = await self._entries(http, caller)
        return json_reply(reply.page(_pairs(entries), dict(http.query_params)))

    async def item(self, http: Request, caller: Caller) -> Reply:
        """One item."""
        entries = await self._entries(http, caller)
        return json_reply(wire.item(_pairs(entries), http.path_params["item_id"]))

    async def remove(self, http: Request, caller: Caller) -> Reply:
        """Remove an item."""
        id, owner = _key(http, caller)
        item = http.path_params["item_id"]
        return _document(await self._conversations.remove_item(id, owner, item))

    async def _entries(self, http: Request, caller: Caller) -> Sequence[Entry]:
        return await self._conversations.entries(await self._conversations.get(*_key(http, caller)))


def _key(http: Request, caller: Caller) -> tuple[str, Owner]:
    return http.path_params["conversation_id"], caller.owner


def _pairs(entries: Sequence[Entry]) -> list[reply.Pair]:
    return [(entry.id, entry.item) for entry in entries if entry.item is not None]


def _document(conversation: Conversation) -> Reply:
    return json_reply(
        wire.conversation(conversation.id, conversation.created, conversation.metadata)
    )


def _check_count(items: Sequence[object]) -> None:
    if len(items) > MAX_ADDED:
        raise BadRequest(f"At most {MAX_ADDED} items can be added at once.", param="items")
