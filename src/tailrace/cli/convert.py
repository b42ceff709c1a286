"""`tailrace convert`: a recorded stream in, another surface's stream out, as it is read.

What model servers send, what tailrace sends on any surface: each is read back into events and shown as if a
run had made them. The native stream holds all of a run, so from it the bytes are those that the run's own
clients got; the others hold what their surface shows, under one agent.
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
from tailrace.protocols.node_stream.wire import RUN as RUN_NODE
from tailrace.protocols.node_stream.wire import NodeStreamEvent
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
"""The run of a recording that names none."""
MODEL = "recorded"

_envelope = msgspec.json.Decoder(NodeStreamEvent).decode


class UpstreamReader:
    """`protocols.recorded.Reader` over what reads a model server's replies."""

    def __init__(self, codec: UpstreamCodec) -> None:
        self._decoder = codec.decoder(MODEL)
        self._call_ids = node_lifecycle.CallIds()
        self.cancelled = False

    @property
    def failure(self) -> ModelFailed | None:
        return self._decoder.failure

    @property
    def done(self) -> bool:
        return self._decoder.done

    def take(self, frame: RecordedFrame) -> list[Payload]:
        made = self._decoder.feed(frame.raw)
        if isinstance(self._decoder.failure, Undecodable):
            json_at(frame.data, frame.at)  # names the very byte, where it is no JSON
            raise Malformed(str(self._decoder.failure), frame.offset)
        return list(map(self._call_ids.fill, made))

    def close(self) -> list[Payload]:
        return list(map(self._call_ids.fill, self._decoder.close()))


class Source(Protocol):
    """A recording as the events of a run."""

    run: str

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        """The events of the next frame. Raises `Malformed`."""
        ...

    def close(self) -> Sequence[Event]:
        """The events that end what the recording left open."""
        ...


class NativeRun:
    """A recorded native stream: the very events of a run."""

    def __init__(self) -> None:
        self.run = RUN
        self._state = RunState()

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        try:
            told = _envelope(frame.data)
            node = "" if told.node_id == RUN_NODE else told.node_id
            event = Event(told.seq, told.ts, node, told.agent_id or "", told.payload)
            self._state.apply(event)
        except (msgspec.MsgspecError, IllegalEvent) as error:
            raise Malformed(f"not the next native event: {error}", frame.offset) from None
        if node and node not in self._state.nodes:
            raise Malformed(f"the node {node[:64]!r} has not started", frame.offset)
        self.run = ids.run_suffix(told.run_id) or RUN
        return [event]

    def close(self) -> Sequence[Event]:
        if self._state.seq < 0:
            raise nothing("native")
        return []


class RecordedRun:
    """A recording of another surface: what a reader makes of it, as a run of one agent."""

    def __init__(self, reader: RecordedReader, name: str) -> None:
        self.run = RUN
        self._name = name
        self._said = False
        self._reader = reader
        self._state = RunState()
        request = RunRequest(agent=MODEL, model=MODEL, surface="native", input=())
        self._begun = self._advance([Draft(RunStarted(request))])
        self._begun += self._advance(node_lifecycle.opening(self._state, MODEL))

    def take(self, frame: RecordedFrame) -> Sequence[Event]:
        if self._state.ended:
            return []
        return self._with(lambda: self._reader.take(frame), frame.offset)

    def close(self) -> Sequence[Event]:
        if self._state.ended:
            return []
        if not self._said:
            raise nothing(self._name)
        made = self._with(self._reader.close, 0)
        if not self._state.ended:
            why = "The recording ends in the middle."
            made = [*made, *self._ended(RunFailed("server_error", why))]
        return made

    def _with(self, read: Callable[[], list[Payload]], offset: int) -> list[Event]:
        try:
            told = read()
            self._said = self._said or bool(told)
            made = self._advance(node_lifecycle.said(told))
        except IllegalEvent as error:
            raise Malformed(f"out of place: {error}", offset) from None
        begun, self._begun = self._begun, []
        return [*begun, *made, *self._end()]

    def _end(self) -> list[Event]:
        """What ends the run, if the recording has ended."""
        failure = self._reader.failure
        if isinstance(failure, (CutShort, NoReply)) and not self._said:
            raise nothing(self._name)
        if failure is not None:
            return self._ended(run_failed(failure))
        if self._reader.done and self._reader.cancelled:
            return self._ended(RunCancelled("a client"))
        if self._reader.done:
            return self._advance(node_lifecycle.ending(self._state))
        return []

    def _ended(self, end: RunEnd) -> list[Event]:
        return self._advance(node_lifecycle.finish(self._state, end))

    def _advance(self, drafts: Sequence[Draft]) -> list[Event]:
        return [self._state.advance(draft, 0) for draft in drafts]


def nothing(name: str) -> Malformed:
    """What is told of a recording that says nothing in its dialect: it may be of another."""
    return Malformed(f"nothing here is said as a stream of '{name}' says it", 0)


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
    """Bytes of one surface to bytes of another, in any pieces.

    Raises `ConfigError` for surfaces there are not, `Malformed` at the first byte that is wrong; what came
    before it has been converted.
    """

    def __init__(self, source: str, target: str) -> None:
        for name, known in ((source, SOURCES), (target, VIEWS)):
            if name not in known:
                raise ConfigError(f"unknown stream: {name!r}; known: {', '.join(known)}")
        self._frames, self._source = SOURCES[source]()
        self._target = target
        self._encoder: StreamEncoder | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes become, frame by frame."""
        for frame in self._frames.feed(data):
            yield self._encoded(self._source.take(frame))

    def close(self) -> Iterator[bytes]:
        """What the end becomes."""
        for frame in self._frames.close():
            yield self._encoded(self._source.take(frame))
        yield self._encoded(self._source.close())

    def _encoded(self, events: Sequence[Event]) -> bytes:
        if not events:
            return b""
        started = events[0].payload
        if self._encoder is None and isinstance(started, RunStarted):
            made = VIEWS[self._target](self._source.run, started.request)
            self._encoder = made.encoders()
        return b"" if self._encoder is None else b"".join(self._encoder.encode(events))
