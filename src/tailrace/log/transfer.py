"""Whole stores as lines of JSON, and back, to move runs from one engine to another.

    {"type":"start","format":1,"schema":1}          first; `schema` is that of the events
    {"type":"record","bucket":…,"key":…,"value":…,"expires":…}     `value` in base64
    {"type":"events","run":…,"events":[…]}                         in order, run after run
    {"type":"end","records":…,"events":…}           last: without it the file is incomplete

Replays are made of events, so the same events give every client the same bytes. The revisions of records
start again. Runs that had not ended have not ended afterwards either. No process may write to the store
meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import assert_never

import msgspec

from tailrace.errors import IllegalEvent, LogError, Unreadable
from tailrace.events.ids import run_suffix
from tailrace.events.state import RunState
from tailrace.events.stored import SCHEMA, decode, frame
from tailrace.events.types import Event
from tailrace.log.contract import Record, Store

FORMAT = 1
LINE_EVENTS = 256
LINE_BYTES = 262_144
"""Maximum number of events, and of their bytes, in one line; a larger event has a line of its own."""


class Start(msgspec.Struct, tag="start", frozen=True):
    """The first line: the format of the others."""

    format: int
    schema: int


class RecordLine(msgspec.Struct, tag="record", frozen=True):
    """A record."""

    bucket: str
    key: str
    value: bytes
    expires: int


class EventsLine(msgspec.Struct, tag="events", frozen=True):
    """Consecutive events of a run."""

    run: str
    events: tuple[msgspec.Raw, ...]


class End(msgspec.Struct, tag="end", frozen=True):
    """The last line: the numbers of records and events."""

    records: int
    events: int


Line = Start | RecordLine | EventsLine | End

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class Broken(LogError):
    """A line that cannot be imported."""


class TransferCounts(msgspec.Struct):
    """The result of an import; `open` are the runs that have not ended."""

    runs: int = 0
    records: int = 0
    events: int = 0
    open: list[str] = msgspec.field(default_factory=list[str])


async def export(
    store: Store, buckets: Sequence[str], runs: str, counts: TransferCounts
) -> AsyncGenerator[bytes, None]:
    """The lines of an open store: the records of `buckets`, and the logs of the runs that are keys of the
    bucket `runs` or have not ended. Raises `LogError`."""
    yield _line(Start(FORMAT, SCHEMA))
    open_runs = set(await store.log.open_runs())
    names = dict.fromkeys(sorted(open_runs))
    for bucket in buckets:
        async for record in _records(store, bucket):
            counts.records += 1
            if bucket == runs:
                names[record.key] = None
            yield _line(RecordLine(bucket, record.key, record.value, record.expires))
    for run in names:
        before = counts.events
        async for events in _raw_events(store, run):
            counts.events += len(events)
            yield _line(EventsLine(run, tuple(events)))
        counts.runs += counts.events > before
    counts.open = sorted(open_runs)
    yield _line(End(counts.records, counts.events))


async def import_(store: Store, lines: Callable[[], Iterable[bytes]]) -> TransferCounts:
    """Import the lines of `lines`, which is called twice, into an open store.

    Nothing is written unless every line is valid and the store has nothing of it. Raises `Broken` with the
    line's number, and `LogError`.
    """
    await _check(store, lines())
    counts, open_runs = TransferCounts(), dict[str, None]()
    reader = _Reader()
    for _, line in _lines(lines()):
        events = reader.take(line)
        if isinstance(line, RecordLine):
            put = store.records.put(
                line.bucket, line.key, line.value, revision=0, expires=line.expires
            )
            await put
            counts.records += 1
        elif isinstance(line, EventsLine):
            first, attempt = events[0].seq, reader.state.attempt
            await store.log.append(line.run, frame(events), expected=first - 1, attempt=attempt)
            counts.runs += first == 0
            counts.events += len(events)
            open_runs[line.run] = None
            if reader.state.is_finished:
                del open_runs[line.run]
    counts.open = sorted(open_runs)
    return counts


def _line(line: Line) -> bytes:
    return _encode(line) + b"\n"


async def _records(store: Store, bucket: str) -> AsyncGenerator[Record, None]:
    after = ""
    while page := await store.records.scan(bucket, after=after):
        for record in page:
            yield record
        after = page[-1].key


async def _raw_events(store: Store, run: str) -> AsyncGenerator[list[msgspec.Raw], None]:
    """A run's events, in pieces that fit a line."""
    seq, size = -1, 0
    piece: list[msgspec.Raw] = []
    while events := await store.log.read(run, seq):
        seq = events[-1].seq
        for event in events:
            text = msgspec.Raw(_encode(event))
            if piece and (len(piece) == LINE_EVENTS or size + len(text) > LINE_BYTES):
                yield piece
                piece, size = [], 0
            piece.append(text)
            size += len(text)
    if piece:
        yield piece


async def _check(store: Store, lines: Iterable[bytes]) -> None:
    """Raises `Broken` at the first line that is invalid, or whose content the store has already."""
    reader, number = _Reader(), 0
    for number, line in _lines(lines):
        try:
            events = reader.take(line)
            if isinstance(line, RecordLine) and await store.records.get(line.bucket, line.key):
                raise Broken(f"the store has {line.bucket}/{line.key} already")
            if events and events[0].seq == 0 and await store.log.read(reader.run, -1):
                raise Broken(f"the store has the run {reader.run} already")
        except (Broken, Unreadable, IllegalEvent) as error:
            raise Broken(f"line {number}: {error}") from error
    if not reader.finished:
        raise Broken(f"line {number + 1}: the end is missing, the file is incomplete")


class _Reader:
    """Reads lines in order. `run` and `state` are those of the latest events."""

    def __init__(self) -> None:
        self.run: str = ""
        self.state = RunState()
        self.finished = False
        self._schema = 0
        self._records: set[tuple[str, str]] = set()
        self._runs: set[str] = set()
        self._events = 0

    def take(self, line: Line) -> list[Event]:
        """The events in the next line. Raises `Broken`, `Unreadable`, `IllegalEvent`."""
        if self.finished:
            raise Broken("unexpected data after the end record")
        if isinstance(line, Start) == bool(self._schema):
            raise Broken("the first line, and no other, says the format")
        match line:
            case Start():
                if line.format != FORMAT:
                    raise Broken(f"the format is {line.format}; this version reads {FORMAT}")
                self._schema = line.schema
            case RecordLine():
                self._records.add((line.bucket, line.key))
            case EventsLine():
                return self._on_events(line)
            case End():
                end = End(len(self._records), self._events)
                if line != end:
                    raise Broken(f"{line} is announced, and {end} was there")
                self.finished = True
            case _:
                assert_never(line)
        return []

    def _on_events(self, line: EventsLine) -> list[Event]:
        if line.run != self.run:
            if line.run in self._runs or run_suffix(line.run) != line.run:
                raise Broken(f"{line.run!r} is a duplicate, or not a run's name")
            self._runs.add(line.run)
            self.run, self.state = line.run, RunState()
        events = decode(b"\n".join(map(bytes, line.events)), self._schema)
        if not events:
            raise Broken("there are no events")
        for event in events:
            self.state.apply(event)
        self._events += len(events)
        return events


def _lines(lines: Iterable[bytes]) -> Iterator[tuple[int, Line]]:
    """Each line with its number. Raises `Broken`."""
    for number, line in enumerate(lines, 1):
        try:
            yield number, _decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise Broken(f"line {number}: {error}") from error
