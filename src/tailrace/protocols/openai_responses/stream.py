"""A run as a Responses event stream: events to SSE frames.

Frame n has `sequence_number` n; the last frame, `[DONE]`, has none but is counted, so a stream is resumed by
skipping frames. Order and fields follow 32 recorded streams of the real API. `stream_items.py` and
`stream_provider.py` encode the items; this module encodes the lifecycle of the run and decides which events
are shown: those of nodes of type `deep_agent`, and of subagents only if the mount attributes events to agents
(`attribution.py`).

A run that pauses for a person is several responses, as in OpenAI's API: a pause completes a response, and the
person's answer begins the next one (`ResponsesStreamOptions.turn`). Calls that are still running at the pause
end as incomplete and are shown again when they continue in a later response; a call that waits for approval
is first shown as an approval request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import ToolCall
from tailrace.events.pauses import ASK_USER
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols import failures, sealed
from tailrace.protocols.attribution import error_metadata, item_id
from tailrace.protocols.encoder import RUN_ENDS, Encoder, ItemEncoder, Table
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.openai_responses import items, wire
from tailrace.protocols.openai_responses.stream_items import (
    ApprovalWriter,
    CallWriter,
    MessageWriter,
    QuestionWriter,
    ReasoningWriter,
    SealWriter,
    ServerCallWriter,
)
from tailrace.protocols.openai_responses.stream_output import ResponseOutput
from tailrace.protocols.openai_responses.stream_provider import ImageWriter, ProviderWriter
from tailrace.protocols.openai_responses.writer import ItemWriter, opening

DONE = b"data: [DONE]\n\n"


class ResponsesStreamOptions(Struct, frozen=True):
    """`include`: the client's parameter. `turn`: the number of the run's turn that is shown. `key` names the
    extension fields of a mount that attributes events to agents, and is `""` on other mounts. `functions`:
    calls that run on the server are `function_call` items too, as on the platform whose clients `/agent/{id}`
    serves."""

    include: tuple[str, ...] = ()
    turn: int = 0
    key: str = ""
    functions: bool = False


class ResponsesEncoder(ItemEncoder[ItemWriter]):
    """`StreamEncoder` for one run; also builds the Response object at any point (`document`)."""

    def __init__(self, run: str, options: ResponsesStreamOptions) -> None:
        super().__init__(run)
        self.options = options
        self._turn = 0
        self._openings: dict[int, t.Event] = {}
        self._calls: dict[int, ToolCall] = {}
        self._approvals: Counter[int] = Counter()
        self._opened_items: set[int] = set()
        self._request: RunRequest | None = None
        self._created_at = 0
        self._completed_at: int | None = None
        self._status = "in_progress"
        self._end: t.RunEnd | None = None
        self._totals = Totals()
        self._usages: list[t.Usage] = []
        self._last: t.Usage | None = None
        self._output = ResponseOutput()
        self._number = 0

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        frames = super().encode(events)
        return frames if self._turn == self.options.turn else []

    def document(self) -> Object:
        """The Response object as of the last event. Raises `ValueError` if the run has not started."""
        if self._request is None:
            raise ValueError("no run.started yet")
        has_end = self.done or self._end is not None
        state = wire.ResponseState(
            metadata=self._metadata(),
            status=self._status,
            created_at=self._created_at,
            completed_at=self._completed_at,
            output=self._output.items(self._status),
            usage=self._usage() if has_end else None,
            end=self._end,
            server_fields=self._server_fields() if has_end else {},
        )
        return wire.response(ids.response_id(self.run, self.options.turn), self._request, state)

    def _usage(self) -> Object:
        """The usage of the run; if there was only one model reply, with the additional fields of its server's
        `usage`."""
        details = [_details(usage) for usage in self._usages]
        return wire.usage(
            self._totals, any_object(details[0].get("usage")) if len(details) == 1 else {}
        )

    def _server_fields(self) -> Object:
        """The additional fields of the Response object from the server of the main agent's last reply."""
        if self._last is None:
            return {}
        fields = {name: value for name, value in _details(self._last).items() if name != "usage"}
        if not isinstance(self._end, t.RunIncomplete):
            fields.pop("incomplete_details", None)
        return fields

    def emit(self, opening: bytes, *fields: bytes) -> None:
        """Add a frame: `opening` is its beginning (`writer.opening`), `fields` are the other fields as JSON,
        in pieces."""
        number = self._number
        self._number = number + 1
        self._frames.append(b"%b%d,%b}\n\n" % (opening, number, b"".join(fields)))

    def delta(self, template: bytes, text: str) -> None:
        """Add a delta frame; `template` is from `writer.template`."""
        number = self._number
        self._number = number + 1
        self._frames.append(template % (number, _json(text)))

    def item_id(self, prefix: str, number: int) -> str:
        """The id of an item; it contains the agent's name if the mount attributes events to agents."""
        if not self.options.key:
            return ids.item_id(prefix, self.run, number)
        return item_id(self._openings[number].agent, prefix, number)

    def finish_item(self, output_index: int, item: Object) -> None:
        """Set the final form of an item in the Response object."""
        self._output.set_item(output_index, item)

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._roster.start(payload)
        self._request = payload.request
        self._created_at = event.ts // 1000
        if payload.request.background:
            self._status = "queued"
        self._lifecycle("response.created")
        if payload.request.background:
            self._lifecycle("response.queued")
            self._status = "in_progress"
        self._lifecycle("response.in_progress")

    def _on_run_waiting(self, event: t.Event, payload: t.RunWaiting) -> None:
        """Complete the response of this turn, because the run waits for a person."""
        if self._turn != self.options.turn:
            return
        for item in self._items.values():
            item.pause()
        self._finish("completed", "response.completed", event)

    def _on_run_resumed(self, event: t.Event, payload: t.RunResumed) -> None:
        """Begin the next turn; of the previous turn only unfinished calls are kept."""
        self._turn += 1
        self._frames = []
        self._number = 0
        self._items, self._output, self._totals = {}, ResponseOutput(), Totals()
        self._usages, self._last = [], None
        self._created_at = event.ts // 1000
        before = ids.response_id(self.run, self._turn - 1)
        if payload.request is not None:
            self._request = msgspec.structs.replace(payload.request, previous=before)
        elif self._request is not None:
            self._request = msgspec.structs.replace(self._request, previous=before)
        self._lifecycle("response.created")
        self._lifecycle("response.in_progress")

    def _shows(self, agent: str) -> bool:
        return bool(self.options.key) or self._roster.is_main(agent)

    def _metadata(self) -> dict[str, str]:
        metadata = self._request.metadata if self._request is not None else {}
        key = self.options.key
        if not key:
            return metadata
        own = {**self._roster.metadata(key), **error_metadata(key, self._end)}
        return {**metadata, **own, f"{key}_job_id": ids.job_id(self.run)}

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        if not self._roster.shows(event.node):
            return
        self._openings[payload.item] = event
        if payload.waits_for == "answer":
            self._open(payload)  # of every agent, because the client has to answer it
        elif self._shows(event.agent) and payload.waits_for != "approval":
            self._open(payload)

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        if isinstance(payload.content, ToolCall) and payload.status == "completed":
            self._calls[payload.item] = payload.content
        item = self._items.get(payload.item)
        if item is None:
            return
        item.take(payload)
        if isinstance(item, CallWriter) and payload.item in self._calls:
            self._seal(item.start, self._calls[payload.item])

    def _seal(self, start: t.ItemStarted, call: ToolCall) -> None:
        """Add the data that the server of a client's call must get back with it."""
        secret = sealed.of_call(call) if start.runs_on == "client" else ""
        if secret:
            place = self._output.place(self._openings[start.item])
            SealWriter(self, start, place, secret).open()

    def _on_approval_requested(self, event: t.Event, payload: t.ApprovalRequested) -> None:
        """Show a request for approval. It is shown for every agent, because the client has to answer it."""
        opening, call = self._openings.get(payload.item), self._calls.get(payload.item)
        if opening is None or call is None or not isinstance(opening.payload, t.ItemStarted):
            return
        self._approvals[payload.item] += 1
        place = self._output.place(None)
        request = ApprovalWriter(self, opening.payload, place, call.arguments)
        request.open()

    def _on_input_requested(self, event: t.Event, payload: t.InputRequested) -> None:
        """Show a question that no call shows as a call of `ask_user`, which its output answers. It is shown
        for every agent, because the client has to answer it."""
        if payload.call_id:
            start = t.ItemStarted(0, "tool_call", call_id=payload.call_id, name=ASK_USER)
            arguments = {"question": payload.message, "schema": payload.schema}
            text = _json(without_empty(arguments)).decode()
            QuestionWriter(self, start, self._output.place(None), text).open()

    def _on_tool_event(self, event: t.Event, payload: t.ToolStarted | t.ToolCompleted) -> None:
        """Show the progress of a call. A call that waited for approval, or that a pause interrupted, is shown
        first, with the arguments that it runs with."""
        item = self._items.get(payload.item)
        call = self._calls.get(payload.item)
        if (
            isinstance(payload, t.ToolStarted)
            and payload.arguments is not None
            and call is not None
        ):
            self._calls[payload.item] = replace(call, arguments=payload.arguments)
        if item is None and not (self.options.functions and payload.item in self._opened_items):
            item = self._show_call(payload.item)
        if item is not None:
            item.take(payload)
        if isinstance(payload, t.ToolCompleted):
            self._calls.pop(payload.item, None)

    def _show_call(self, number: int) -> ItemWriter | None:
        opening, call = self._openings.get(number), self._calls.get(number)
        if opening is None or call is None or not isinstance(opening.payload, t.ItemStarted):
            return None
        if opening.payload.runs_on == "client" or not self._shows(opening.agent):
            return None
        self._open(opening.payload)
        item = self._items[number]
        item.take(t.ArgumentsDelta(number, call.arguments))
        item.take(t.ItemCompleted(number, "completed", call))
        return item

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        is_reply = payload.purpose == "reply"
        if is_reply:
            self._output.end_reply((event.node, event.agent))
        if self._roster.shows(event.node):
            self._totals += Totals.of(payload)
            self._usages.append(payload)
            if self._roster.is_main(event.agent) and is_reply:
                self._last = payload

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        self._output.abandon((event.node, event.agent), whole_turn=payload.all)

    def approval_id(self, number: int) -> str | None:
        """The id of the last request for approval of a call; None if the call had none."""
        times = self._approvals[number]
        return ids.asked_id(self.item_id(ApprovalWriter.prefix, number), times) if times else None

    def _lifecycle(self, kind: str) -> None:
        self.emit(opening(kind), b'"response":', _json(self.document()))

    def _open(self, payload: t.ItemStarted) -> None:
        kind = _writer(payload, functions=self.options.functions)
        if kind is not None:
            self._opened_items.add(payload.item)
            place = self._output.place(self._openings[payload.item])
            writer = self._items[payload.item] = kind(self, payload, place)
            writer.open()

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        if self._turn < self.options.turn:
            return  # the run has no such turn
        self._end = payload
        match payload:
            case t.RunCompleted():
                self._finish("completed", "response.completed", event)
            case t.RunIncomplete():
                self._finish("incomplete", "response.incomplete", event)
            case t.RunCancelled():
                # The API has no event response.cancelled; of its four final events this one breaks no client.
                self._finish("cancelled", "response.incomplete", event)
            case t.RunFailed():
                self.emit(opening("error"), _error(payload))
                self._finish("failed", "response.failed", event)

    def _finish(self, status: str, kind: str, event: t.Event) -> None:
        self.done = True
        self._status = status
        if status == "completed":
            self._completed_at = event.ts // 1000
        self._lifecycle(kind)
        self._frames.append(DONE)
        self._number += 1

    SHOWN: ClassVar[Table] = {
        **Encoder.NAMING,
        t.RunStarted: _on_run_started,
        t.RunWaiting: _on_run_waiting,
        t.RunResumed: _on_run_resumed,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.ItemStarted: _on_item_started,
        **ItemEncoder.PIECES,
        t.ImagePartial: ItemEncoder.DELTA,
        t.ProviderEvent: ItemEncoder.DELTA,
        t.ItemCompleted: _on_item_completed,
        t.ToolStarted: _on_tool_event,
        t.ToolCompleted: _on_tool_event,
        t.ApprovalRequested: _on_approval_requested,
        t.InputRequested: _on_input_requested,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
    }
    HIDDEN = frozenset(
        {
            t.RunAttempt,
            t.NodeCompleted,
            t.NodeFailed,
            t.AgentCompleted,
            t.AudioDelta,
            t.TranscriptDelta,
            t.ToolProgress,
            t.ApprovalResolved,
            t.InputReceived,
            t.CompactionStarted,
            t.CompactionCompleted,
            t.ContextUsage,
            t.Custom,
        }
    )


def _writer(start: t.ItemStarted, *, functions: bool) -> type[ItemWriter] | None:
    """The writer for an item; None if this dialect has no form for it."""
    match start.kind:
        case "message":
            return MessageWriter
        case "reasoning":
            return ReasoningWriter
        case "tool_call":
            ours = start.runs_on != "client" and not functions
            return ServerCallWriter if ours else CallWriter
        case "image":
            return ImageWriter
        case "provider":
            return ProviderWriter if start.dialect == items.DIALECT else None
        case "audio":
            return None


def _details(usage: t.Usage) -> Object:
    return any_object(usage.details.get(items.DIALECT))


def _error(payload: t.RunFailed) -> bytes:
    """The fields of the `error` event, both flat and nested: clients differ in which of them they read."""
    failure = failures.openai(payload)
    flat: Object = {
        "code": failure.code,
        "message": failure.message,
        "param": failure.param or None,
    }
    if failure.retry_after is not None:
        flat["retry_after"] = failure.retry_after
    return _json({**flat, "error": {"type": failure.type, **flat}})[1:-1]
