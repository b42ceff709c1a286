"""`tailrace convert`: a recorded stream in, the stream of another surface out, while it is read.

Streams of model servers and of every surface are decoded into events, and encoded as if a run had emitted
them. The native stream has all events of a run, so from it the bytes are those that the run's own clients
received; the others have what their surface shows, under one agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from tailrace.errors import (
    ConfigError,
    CutShort,
    IllegalEvent,
    Malformed,
    ModelFailed,
    NoReply,
    Undecodable,
)
from tailrace.events import ids
from tailrace.events.failures import run_failed
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import (
    Draft,
    Event,
    Payload,
    RunCancelled,
    RunEnd,
    RunFailed,
    RunStarted,
)
from tailrace.protocols.ag_ui.recorded import AgUiReader
from tailrace.protocols.ai_sdk_ui.recorded import UiReader
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import StreamEncoder, UpstreamCodec
from tailrace.protocols.node_stream.stream import RUN as RUN_NODE
from tailrace.protocols.node_stream.stream import NodeStreamEvent
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.protocols.recorded import (
    Frames,
    LineFrames,
    RecordedFrame,
    RecordedReader,
    SseFrames,
    json_at,
)
from tailrace.protocols.session_lines.recorded import SessionReader
from tailrace.runtimes import node_lifecycle
from tailrace.service.views import VIEWS

RUN = "0" * ids.SUFFIX_LENGTH
"""The run suffix of a recording without a run id."""
MODEL = "recorded"

_envelope = msgspec.json.Decoder(NodeStreamEvent).decode


class UpstreamReader:
    """A `RecordedReader` over the decoder of a model server's replies."""

    def __init__(self, codec: UpstreamCodec) -> None:
        self._decoder = codec.decoder(MODEL)
        self._call_ids = node_lifecycle.CallIds()
        self.cancelled = False

    @property
    def failure(self) -> ModelFailed | None:
        """Why the reply cannot be used, if it cannot."""
        return self._decoder.failure

    @property
    def done(self) -> bool:
        """Whether the reply has ended as its dialect requires."""
        return self._decoder.done

    def take(self, frame: RecordedFrame) -> list[Payload]:
        payloads = self._decoder.feed(frame.raw)
        if isinstance(self._decoder.failure, Undecodable):
            json_at(frame.data, frame.at)  # raises with the exact byte if it is not JSON
            raise Malformed(str(self._decoder.failure), frame.offset)
        return list(map(self._call_ids.fill, payloads))

    def close(self) -> list[Payload]:
        return list(map(self._call_ids.fill, self._decoder.close()))


class Source(Protocol):
    """A recording as the events of a run."""

    run: str

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        """The events of the next frame. Raises `Malformed`."""
        ...

    def close(self) -> Sequence[Event]:
        """The events that end whatever the recording left open. Raises `Malformed`."""
        ...


class NativeRun:
    """A recorded native stream: the events of a run."""

    def __init__(self) -> None:
        self.run = RUN
        self._state = RunState()

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        try:
            envelope = _envelope(frame.data)
            node = "" if envelope.node_id == RUN_NODE else envelope.node_id
            agent = envelope.agent_id or ""
            event = Event(envelope.seq, envelope.ts, node, agent, envelope.payload)
            self._state.apply(event)
        except (msgspec.MsgspecError, IllegalEvent) as error:
            raise Malformed(f"not the next native event: {error}", frame.offset) from None
        if node and node not in self._state.nodes:
            raise Malformed(f"the node {node[:64]!r} has not started", frame.offset)
        self.run = ids.run_suffix(envelope.run_id) or RUN
        return [event]

    def close(self) -> Sequence[Event]:
        if self._state.seq < 0:
            raise nothing("native")
        return []


class RecordedRun:
    """A recording of another surface: the events of a reader, as a run of one agent."""

    def __init__(self, reader: RecordedReader, name: str) -> None:
        self.run = RUN
        self._name = name
        self._has_events = False
        self._reader = reader
        self._state = RunState()
        request = RunRequest(agent=MODEL, model=MODEL, surface="native", input=())
        self._first_events = self._advance([Draft(RunStarted(request))])
        self._first_events += self._advance(node_lifecycle.opening(self._state, MODEL))

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        if self._state.is_finished:
            return []
        return self._with(lambda: self._reader.take(frame), frame.offset)

    def close(self) -> Sequence[Event]:
        if self._state.is_finished:
            return []
        if not self._has_events:
            raise nothing(self._name)
        events = self._with(self._reader.close, 0)
        if not self._state.is_finished:
            message = "The recording ends in the middle."
            events = [*events, *self._finish(RunFailed("server_error", message))]
        return events

    def _with(self, read: Callable[[], list[Payload]], offset: int) -> list[Event]:
        try:
            payloads = read()
            self._has_events = self._has_events or bool(payloads)
            events = self._advance(node_lifecycle.main_drafts(payloads))
        except IllegalEvent as error:
            raise Malformed(f"out of place: {error}", offset) from None
        first_events, self._first_events = self._first_events, []
        return [*first_events, *events, *self._end()]

    def _end(self) -> list[Event]:
        """The events that end the run, if the recording has ended."""
        failure = self._reader.failure
        if isinstance(failure, (CutShort, NoReply)) and not self._has_events:
            raise nothing(self._name)
        if failure is not None:
            return self._finish(run_failed(failure))
        if self._reader.done and self._reader.cancelled:
            return self._finish(RunCancelled("a client"))
        if self._reader.done:
            return self._advance(node_lifecycle.ending(self._state))
        return []

    def _finish(self, end: RunEnd) -> list[Event]:
        return self._advance(node_lifecycle.finish(self._state, end))

    def _advance(self, drafts: Sequence[Draft]) -> list[Event]:
        return [self._state.advance(draft, 0) for draft in drafts]


def nothing(name: str) -> Malformed:
    """The error for a recording without any event of the dialect `name`: it may be of another."""
    return Malformed(f"there is no event of a '{name}' stream in it", 0)


def _upstream(codec: UpstreamCodec) -> tuple[Frames, Source]:
    return SseFrames(loose=True), RecordedRun(UpstreamReader(codec), codec.dialect)


SOURCES: Mapping[str, Callable[[], tuple[Frames, Source]]] = {
    "chat": lambda: _upstream(ChatCodec()),
    "responses": lambda: _upstream(ResponsesCodec()),
    "messages": lambda: _upstream(MessagesCodec()),
    "native": lambda: (SseFrames(), NativeRun()),
    "session": lambda: (LineFrames(), RecordedRun(SessionReader(), "session")),
    "ui": lambda: (SseFrames(), RecordedRun(UiReader(), "ui")),
    "agui": lambda: (SseFrames(), RecordedRun(AgUiReader(), "agui")),
}


class Converter:
    """Bytes of one surface to bytes of another, in any pieces. Raises `ConfigError` for an unknown
    surface."""

    def __init__(self, source: str, target: str) -> None:
        for name, names in ((source, SOURCES), (target, VIEWS)):
            if name not in names:
                raise ConfigError(f"unknown stream: {name!r}; known: {', '.join(names)}")
        self._frames, self._source = SOURCES[source]()
        self._target = target
        self._encoder: StreamEncoder | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames of the target for these bytes. Raises `Malformed` at the first invalid byte, after the
        frames before it."""
        for frame in self._frames.feed(data):
            yield self._encode(self._source.take(frame))

    def close(self) -> Iterator[bytes]:
        """The last frames of the target. Raises `Malformed`."""
        for frame in self._frames.close():
            yield self._encode(self._source.take(frame))
        yield self._encode(self._source.close())

    def _encode(self, events: Sequence[Event]) -> bytes:
        if not events:
            return b""
        first = events[0].payload
        if self._encoder is None and isinstance(first, RunStarted):
            view = VIEWS[self._target](self._source.run, first.request)
            self._encoder = view.encoders()
        return b"" if self._encoder is None else b"".join(self._encoder.encode(events))
