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
from tailrace.events.types import (
    ArgumentsDelta,
    Event,
    Payload,
    ReasoningDelta,
    ReasoningSummaryDelta,
    RunEnd,
    TextDelta,
)

SCHEMA = 1
UPGRADES: Mapping[int, Callable[[list[Json]], list[Json]]] = {}
"""From version n to n + 1: a function from one event's JSON array to the next version's."""

EMPTY_EVENT = 64
"""Approximate bytes of a delta in a log besides its text."""

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
        return self.events[0].seq if self.events else 0

    @property
    def last(self) -> int:
        """The sequence number of the last event."""
        return self.events[-1].seq if self.events else -1

    @property
    def ends(self) -> bool:
        """Whether the run ends with this frame."""
        return not self.events or type(self.events[-1].payload) in _ENDS


BARRIER = Frame((), b"")
"""The log of a run that has not begun and never will: it has no events."""


def frame(events: Sequence[Event]) -> Frame:
    """A frame of at least one event."""
    return join_lines(events, list(map(line, events)))


def join_lines(events: Sequence[Event], lines: Sequence[bytes]) -> Frame:
    """A frame of events whose lines were made before."""
    return Frame(tuple(events), b"\n".join(lines))


def line(event: Event) -> bytes:
    """One event as a store keeps it. Raises `UnicodeEncodeError` for half of a surrogate pair."""
    return _encoder.encode(event)


def length(event: Event) -> int:
    """The size of an event in a log, in bytes."""
    return len(_encoder.encode(event))


def weight(payload: Payload) -> int:
    """The approximate size of a payload in a log, in bytes; cheap for frequent kinds."""
    match payload:
        case TextDelta(logprobs=()) | ReasoningDelta() | ReasoningSummaryDelta() | ArgumentsDelta():
            return EMPTY_EVENT + len(payload.text)
        case _:
            try:
                return len(_encoder.encode(payload))
            except UnicodeEncodeError:
                return len(_encoder.encode(_repair(msgspec.to_builtins(payload))))


_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(event: Event) -> Event:
    """The event with the replacement character for each half of a surrogate pair: Python's strings may
    contain them, JSON for other programs may not."""
    return msgspec.convert(_repair(msgspec.to_builtins(event)), Event)


def _repair(value: Json) -> Json:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list() | tuple():
            return [_repair(each) for each in cast("list[Json]", value)]
        case dict():
            fields = cast("dict[str, Json]", value)
            return {_repair(key): _repair(each) for key, each in fields.items()}
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
    """One event's JSON array, upgraded to the current schema."""
    array: list[Json] = msgspec.json.decode(line)
    for version in range(schema, SCHEMA):
        if version not in UPGRADES:
            break
        array = UPGRADES[version](array)
    else:
        if schema < SCHEMA:
            return array
    raise Unreadable(f"schema {schema} is not known; this version reads up to {SCHEMA}")
