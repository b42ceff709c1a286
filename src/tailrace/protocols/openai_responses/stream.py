"""A run as a Responses event stream: events to SSE frames.

Frame n carries `sequence_number` n; the last frame, `[DONE]`, carries none but counts, so resuming is
slicing. Order and fields follow 32 recorded streams of the real API. What an item looks like stands in
`stream_items.py`, `stream_calls.py` and `stream_provider.py`; here is the run around them, and which
events are shown at all: those of nodes of type `deep_agent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.openai_responses import items, wire
from tailrace.protocols.openai_responses.stream_calls import CallWriter, ServerCallWriter
from tailrace.protocols.openai_responses.stream_items import MessageWriter, ReasoningWriter
from tailrace.protocols.openai_responses.stream_provider import ImageWriter, ProviderWriter
from tailrace.protocols.openai_responses.writer import Writer, opening

SHOWN_NODE = "deep_agent"
HOT = (t.TextDelta, t.ArgumentsDelta, t.ReasoningDelta, t.ReasoningSummaryDelta, t.RefusalDelta)
"""What most events of a run are: it does not walk through the whole match."""
DONE = b"data: [DONE]\n\n"


class Options(Struct, frozen=True):
    """What a client asked to be included."""

    include: tuple[str, ...] = ()


class Encoder:
    """`StreamEncoder` for one run; also knows the Response object at any point (`document`)."""

    def __init__(self, run: str, options: Options) -> None:
        self.run = run
        self.options = options
        self._request: RunRequest | None = None
        self._created_at = 0
        self._completed_at: int | None = None
        self._status = "in_progress"
        self._end: t.RunEnd | None = None
        self._totals = Totals()
        self._nodes: set[str] = set()
        self._items: dict[int, Writer] = {}
        self._output: list[Json] = []
        self._number = 0
        self._frames: list[bytes] = []

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        self._frames = frames = list[bytes]()
        for event in events:
            payload = event.payload
            if isinstance(payload, HOT):
                item = self._items.get(payload.item)
                if item is not None:
                    item.take(payload)
            else:
                self._other(event)
        self._frames = []
        return frames

    def document(self) -> Object:
        """The Response object as of the last event. The run must have started."""
        if self._request is None:
            raise ValueError("no run.started yet")
        ended = self._end is not None
        return wire.response(
            ids.response_id(self.run),
            self._request,
            status=self._status,
            created_at=self._created_at,
            completed_at=self._completed_at,
            output=[item for item in self._output if item is not None],
            usage=wire.usage(self._totals) if ended else None,
            end=self._end,
        )

    def emit(self, opening: bytes, *fields: bytes) -> None:
        """Add a frame: how it opens (`writer.opening`), then its other fields as JSON, in pieces."""
        number = self._number
        self._number = number + 1
        self._frames.append(b"%b%d,%b}\n\n" % (opening, number, b"".join(fields)))

    def delta(self, template: bytes, text: str) -> None:
        """Add a delta frame from what `writer.template` made."""
        number = self._number
        self._number = number + 1
        self._frames.append(template % (number, _json(text)))

    def finished(self, output_index: int, item: Object) -> None:
        """An item is done: this is how the Response object shows it."""
        self._output[output_index] = item

    def _other(self, event: t.Event) -> None:  # noqa: C901 - one arm per family
        payload = event.payload
        match payload:
            case t.RunStarted():
                self._started(event, payload)
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._ended(event, payload)
            case t.NodeStarted():
                if payload.node_type == SHOWN_NODE:
                    self._nodes.add(event.node)
            case t.ItemStarted():
                if event.node in self._nodes:
                    self._open(payload)
            case t.Usage():
                if event.node in self._nodes:
                    self._totals += Totals.of(payload)
            case (
                t.TextDelta()
                | t.RefusalDelta()
                | t.AnnotationAdded()
                | t.ReasoningDelta()
                | t.ReasoningSummaryDelta()
                | t.ArgumentsDelta()
                | t.ImagePartial()
                | t.ItemCompleted()
                | t.ToolCompleted()
            ):
                item = self._items.get(payload.item)
                if item is not None:
                    item.take(payload)
            case (
                t.RunAttempt()
                | t.RunWaiting()
                | t.RunResumed()
                | t.NodeCompleted()
                | t.NodeFailed()
                | t.AgentStarted()
                | t.AgentCompleted()
                | t.AudioDelta()
                | t.TranscriptDelta()
                | t.ToolStarted()
                | t.ToolProgress()
                | t.ApprovalRequested()
                | t.ApprovalResolved()
                | t.InputRequested()
                | t.InputReceived()
                | t.CompactionStarted()
                | t.CompactionCompleted()
                | t.ContextUsage()
                | t.Custom()
            ):
                pass  # no form on this surface
            case _:
                assert_never(payload)

    def _started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._request = payload.request
        self._created_at = event.ts // 1000
        if payload.request.background:
            self._status = "queued"
        self._lifecycle("response.created")
        if payload.request.background:
            self._lifecycle("response.queued")
            self._status = "in_progress"
        self._lifecycle("response.in_progress")

    def _lifecycle(self, kind: str) -> None:
        self.emit(opening(kind), b'"response":', _json(self.document()))

    def _open(self, payload: t.ItemStarted) -> None:
        kind = _writer(payload)
        if kind is not None:
            writer = self._items[payload.item] = kind(self, payload, len(self._output))
            self._output.append(None)
            writer.opened()

    def _ended(self, event: t.Event, payload: t.RunEnd) -> None:
        self._end = payload
        match payload:
            case t.RunCompleted():
                self._status, kind = "completed", "response.completed"
                self._completed_at = event.ts // 1000
            case t.RunIncomplete():
                self._status, kind = "incomplete", "response.incomplete"
            case t.RunCancelled():
                # There is no response.cancelled event; of the four ends this one breaks no client.
                self._status, kind = "cancelled", "response.incomplete"
            case t.RunFailed():
                self._status, kind = "failed", "response.failed"
                self.emit(opening("error"), _error(payload))
            case _:
                assert_never(payload)
        self._lifecycle(kind)
        self._frames.append(DONE)
        self._number += 1


def _writer(started: t.ItemStarted) -> type[Writer] | None:
    """How an item is shown; None where this surface has no form for it."""
    match started.kind:
        case "message":
            return MessageWriter
        case "reasoning":
            return ReasoningWriter
        case "tool_call":
            return CallWriter if started.runs_on == "client" else ServerCallWriter
        case "image":
            return ImageWriter
        case "provider":
            return ProviderWriter if started.dialect == items.DIALECT else None
        case "audio":
            return None


def _error(payload: t.RunFailed) -> bytes:
    """The `error` event with flat and nested fields together: some clients read one, some the other."""
    flat: Object = {"code": payload.code, "message": payload.message, "param": None}
    kind = "rate_limit_error" if payload.code == "rate_limit_exceeded" else "server_error"
    return _json({**flat, "error": {"type": kind, **flat}})[1:-1]
