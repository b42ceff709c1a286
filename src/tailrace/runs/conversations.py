"""Conversations: a named list of items, to which turns add.

The entries of a conversation are items that a client added, and runs. A run stands for its input and
output, read from its log; before its log expires the sweeper replaces its entry by the items. So a
conversation lasts while it is used, and nothing is stored twice while its runs exist.

Some clients name their conversations themselves (the id of a chat, a session, a thread). Such a name is one
conversation of its owner on all surfaces; its id is computed from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from tailrace.errors import BadRequest, NotFound, RevisionMismatch, TooLarge
from tailrace.events import history, ids
from tailrace.events.items import Item, Message
from tailrace.events.state import RunState
from tailrace.events.versions import Shape
from tailrace.log.contract import Change, Record, Store, Value
from tailrace.runs.directory import Directory, RunRecord
from tailrace.runs.membership import Membership
from tailrace.runs.owner import Owner
from tailrace.runs.settings import HOUR
from tailrace.runs.turns import Turns
from tailrace.runs.writer import Clock

BUCKET = "conversations"
RETENTION_MS = 30 * 24 * HOUR
"""Time after the last use at which a conversation expires."""
MOST_ENTRIES = 5_000
MOST_BYTES = 6_000_000
"""Maximum stored bytes of one conversation, so that it fits into a message of any engine: the oldest
entries are removed."""
HISTORY_BYTES = 20_000_000
"""Maximum bytes of all items of a conversation, with those of its runs; no model reads more."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item with its id, or a run that stands for its items."""

    id: str
    item: Item | None = None
    run: str = ""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as stored; `count` numbers the items that clients added, for their ids."""

    id: str
    tenant: str
    user: str = ""
    created: int
    metadata: dict[str, str] = {}
    entries: tuple[Entry, ...] = ()
    count: int = 0


SHAPE = Shape("conversation", Conversation)


class Conversations:
    """Conversations over a store's records. All changes are compare-and-set, retried on a conflict."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        clock: Clock,
        cluster: Membership | None = None,
    ) -> None:
        """`cluster` as for `Turns`."""
        self.turns = Turns(store, clock, cluster)
        self._store = store
        self._directory = directory
        self._clock = clock

    async def by_name(self, name: str, owner: Owner, within: str = "") -> Conversation:
        """The conversation with the client's `name` in the scope `within`; made if there is none."""
        id = named_id(name, owner, within)
        while True:
            try:
                return await self.get(id, owner)
            except NotFound:
                conversation = self._empty(id, owner)
                if await self._try_put(conversation, 0):
                    return conversation

    async def create(
        self, id: str, owner: Owner, metadata: dict[str, str], items: Sequence[Item]
    ) -> Conversation:
        """A new conversation with some items in it."""
        conversation = Conversation(
            id=id,
            tenant=owner.tenant,
            user=owner.user,
            created=self._clock(),
            metadata=metadata,
        )
        conversation = _with_items(conversation, items)
        await self._put(conversation, 0)
        return conversation

    async def get(self, id: str, owner: Owner) -> Conversation:
        """A conversation of this owner. Raises `NotFound`."""
        return (await self._load(id, owner))[0]

    async def update(self, id: str, owner: Owner, metadata: dict[str, str]) -> Conversation:
        """Replace the metadata."""
        while True:
            conversation, revision = await self._load(id, owner)
            new = msgspec.structs.replace(conversation, metadata=metadata)
            if await self._try_put(new, revision):
                return new

    async def add_items(self, id: str, owner: Owner, items: Sequence[Item]) -> Sequence[Entry]:
        """Append items; returns their entries. Raises `BadRequest` if they do not fit."""
        while True:
            conversation, revision = await self._load(id, owner)
            new = _with_items(conversation, items)
            if await self._try_put(new, revision):
                return new.entries[len(conversation.entries) :]

    async def remove_item(self, id: str, owner: Owner, item: str) -> Conversation:
        """Remove an item; an item of a run first replaces the run's entry by its items."""
        while True:
            conversation, revision = await self._load(id, owner)
            entries = await self.entries(conversation)
            if item not in [entry.id for entry in entries]:
                raise NotFound(f"No item found with id '{item}'.", code="not_found")
            left = tuple(entry for entry in entries if entry.id != item)
            new = msgspec.structs.replace(conversation, entries=newest_that_fit(left))
            if await self._try_put(new, revision):
                return new

    def join(self, id: str, run: str, replaced_run: str) -> Change:
        """The change that adds a turn: the items of the run belong to the conversation from then on, in
        place of those of `replaced_run`, an earlier try of the same turn. A deleted conversation stays
        deleted."""

        def apply(record: Record | None) -> Value | None:
            if record is None:
                return None
            conversation = SHAPE.decode(record.value)
            if run in [entry.run for entry in conversation.entries]:
                return None
            left = tuple(
                entry
                for entry in conversation.entries
                if not replaced_run or entry.run != replaced_run
            )
            entries = newest_that_fit((*left, Entry(run, run=run)))
            new = msgspec.structs.replace(conversation, entries=entries)
            return Value(SHAPE.encode(new), self._clock() + RETENTION_MS)

        return Change(BUCKET, id, apply)

    async def runs(self, conversation: Conversation) -> AsyncGenerator[RunRecord, None]:
        """The records of the existing turns, the newest first: a crash during a start may leave an entry of
        a run that never began."""
        for entry in reversed(conversation.entries):
            record = await self._directory.record(entry.run) if entry.run else None
            if record is None or record.status == "expired":
                continue
            if await self._store.log.read(record.run, -1):
                yield record

    async def keep_items(self, id: str, run: str, state: RunState) -> None:
        """A run's log is about to be deleted: replace its entry by its items."""
        while True:
            try:
                conversation, revision = await self._load(id, None)
            except NotFound:
                return
            entries = tuple(
                item
                for entry in conversation.entries
                for item in (_of_run(run, state) if entry.run == run else (entry,))
            )
            new = msgspec.structs.replace(conversation, entries=newest_that_fit(entries))
            if await self._try_put(new, revision):
                return

    async def delete(self, id: str, owner: Owner) -> None:
        """Remove a conversation; its runs stay."""
        await self._load(id, owner)
        await self._store.records.delete(BUCKET, id)

    async def entries(self, conversation: Conversation) -> Sequence[Entry]:
        """All items, in order, with those of runs. A deleted run, or one that never began, has none. Raises
        `TooLarge` beyond `HISTORY_BYTES`."""
        items: list[Entry] = []
        size = 0
        for entry in conversation.entries:
            if not entry.run:
                items.append(entry)
                continue
            if await self._directory.record(entry.run) is None:
                continue  # it never began
            try:
                state = await self._directory.state(entry.run)
            except NotFound:
                continue
            turn = _of_run(entry.run, state)
            items.extend(turn)
            size += sum(map(_size, turn))
            if size > HISTORY_BYTES:
                raise TooLarge(
                    f"The conversation is too long: its items have over {HISTORY_BYTES} bytes. Begin a new"
                    " one, or remove some of them.",
                    code="context_length_exceeded",
                )
        return items

    def _empty(self, id: str, owner: Owner) -> Conversation:
        return Conversation(id=id, tenant=owner.tenant, user=owner.user, created=self._clock())

    async def _load(self, id: str, owner: Owner | None) -> tuple[Conversation, int]:
        record = await self._store.records.get(BUCKET, id)
        if record is not None:
            conversation = SHAPE.decode(record.value)
            if owner is None or owner.owns(conversation.tenant, conversation.user):
                return conversation, record.revision
        raise NotFound(f"No conversation found with id '{id}'.", code="not_found")

    async def _put(self, conversation: Conversation, revision: int) -> None:
        value = SHAPE.encode(conversation)
        expires = self._clock() + RETENTION_MS
        await self._store.records.put(
            BUCKET, conversation.id, value, revision=revision, expires=expires
        )

    async def _try_put(self, conversation: Conversation, revision: int) -> bool:
        try:
            await self._put(conversation, revision)
        except RevisionMismatch:
            return False
        return True


def named_id(name: str, owner: Owner, within: str = "") -> str:
    """The id of the conversation that a client of this owner calls `name`; `within` separates the tenants
    of the client."""
    names = (owner.tenant, owner.user, name, *((within,) if within else ()))
    digest = hashlib.sha256(msgspec.json.encode(names)).digest()
    return ids.conversation_id(digest)


def _with_items(conversation: Conversation, items: Sequence[Item]) -> Conversation:
    suffix = conversation.id.removeprefix("conv_")
    new_entries = tuple(
        Entry(f"item_{suffix}_{conversation.count + n}", item) for n, item in enumerate(items)
    )
    entries = (*conversation.entries, *new_entries)
    if newest_that_fit(entries) != entries:
        raise BadRequest(
            f"The conversation is full: it holds {MOST_ENTRIES} items and {MOST_BYTES} bytes at most.",
            param="items",
            code="conversation_full",
        )
    return msgspec.structs.replace(
        conversation, entries=entries, count=conversation.count + len(items)
    )


def newest_that_fit(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The newest entries that fit. The first one begins with a message of a user, or with a complete run: a
    model server refuses an output without its call."""
    size = first = len(entries)
    total = 0
    while first > 0 and size - first < MOST_ENTRIES:
        total += _size(entries[first - 1])
        if total > MOST_BYTES:
            break
        first -= 1
    if first == 0:
        return entries
    while first < size and not _begins(entries[first]):
        first += 1
    return entries[first:]


def _begins(entry: Entry) -> bool:
    item = entry.item
    return item is None or (isinstance(item, Message) and item.role == "user")


def _size(entry: Entry) -> int:
    return len(msgspec.json.encode(entry))


def _of_run(run: str, state: RunState) -> tuple[Entry, ...]:
    """The items of a run's turn: its input and its output."""
    return tuple(Entry(f"item_{run}_{n}", item) for n, item in enumerate(history.turn(state)))
