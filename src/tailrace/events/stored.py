"""Events as bytes in a log, and back.

The stored form is the public one: a line of JSON per event, `[seq, ts, node, agent, payload]`. Lines
join with a newline into a frame, frames join into a whole log; nothing needs decoding to be copied.
`SCHEMA` numbers this form. A store keeps the number beside the bytes (`Frame.schema`), and `decode`
lifts older bytes through `UPGRADES`, one step a version, before it reads them. A field added with a
default needs no new version; anything else does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast, get_args

import msgspec

from tailrace.errors import Unreadable
from tailrace.events.items import Json
from tailrace.events.types import Event, RunEnd

SCHEMA = 1
UPGRADES: Mapping[int, Callable[[list[Json]], list[Json]]] = {}
"""From version n to n + 1: a function from one event's JSON array to the next version's."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)
_ENDS = frozenset(get_args(RunEnd))


class Frame(msgspec.Struct, frozen=True, gc=False):
    """Consecutive events of one run, as objects and as the bytes a store keeps."""

    events: tuple[Event, ...]
    body: bytes
    schema: int = SCHEMA

    @property
    def first(self) -> int:
        """The sequence number of the first event."""
        return self.events[0].seq

    @property
    def last(self) -> int:
        """The sequence number of the last event."""
        return self.events[-1].seq

    @property
    def ends(self) -> bool:
        """Whether the run ends with this frame."""
        return type(self.events[-1].payload) in _ENDS


def frame(events: Sequence[Event]) -> Frame:
    """A frame of at least one event."""
    return Frame(tuple(events), b"\n".join(map(_encoder.encode, events)))


_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(event: Event) -> Event:
    """The event with the replacement character for each half of a surrogate pair: Python's strings hold
    them, JSON that others shall read does not."""
    return msgspec.convert(_repaired(msgspec.to_builtins(event)), Event)


def _repaired(value: Json) -> Json:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list() | tuple():
            return [_repaired(each) for each in cast("list[Json]", value)]
        case dict():
            fields = cast("dict[str, Json]", value)
            return {_repaired(key): _repaired(each) for key, each in fields.items()}
        case _:
            return value


def decode(body: bytes, schema: int = SCHEMA) -> list[Event]:
    """The events in a frame, or in several joined by newlines. Raises `Unreadable`."""
    try:
        if schema == SCHEMA:
            return _decoder.decode_lines(body)
        return [msgspec.convert(_upgrade(line, schema), Event) for line in body.split(b"\n")]
    except msgspec.MsgspecError as error:
        raise Unreadable(f"a stored event does not fit schema {schema}: {error}") from error


def _upgrade(line: bytes, schema: int) -> list[Json]:
    """One event's JSON array, lifted to the present schema."""
    array: list[Json] = msgspec.json.decode(line)
    for version in range(schema, SCHEMA):
        if version not in UPGRADES:
            break
        array = UPGRADES[version](array)
    else:
        if schema < SCHEMA:
            return array
    raise Unreadable(f"schema {schema} is not known; this version reads up to {SCHEMA}")
