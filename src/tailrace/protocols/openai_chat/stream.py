"""A run as a Chat Completions stream: events to chunks.

One answer is one message: the texts of several model replies are separated by a blank line, calls of tools
that the client runs have contiguous indexes, and calls that run on the server are not shown. Reasoning is
sent in `reasoning_content`, the field that most servers and clients support; other clients ignore it. Fields
that only this dialect has are sent when their item ends (`stream_extras.py`). Reasoning that a server of
another dialect must get back is sent at the end (`thoughts.py`), for the last reply only: the client returns
one message for the whole run, and servers reject reasoning without the output that followed it. The order of
chunks follows 48 recorded streams of real servers.

A run that pauses for a person is several completions: a pause ends one with the open questions as text and as
calls of `ask_user` (`questions.py`), and the client's answer begins the next (`ChatStreamOptions.turn`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Json, Reasoning
from tailrace.events.pauses import ASK_USER
from tailrace.events.request import RunRequest
from tailrace.events.usage import Totals
from tailrace.protocols.attribution import about
from tailrace.protocols.encoder import RUN_ENDS, Table
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_chat import stream_extras as extras
from tailrace.protocols.openai_chat import thoughts, wire
from tailrace.protocols.openai_chat.chunks import ChunkFrames, ChunkSink
from tailrace.protocols.openai_chat.stream_extras import ServerFields
from tailrace.protocols.turns import TurnEncoder

SEPARATOR = "\n\n"
"""Separates the texts of two model replies."""

Reply = tuple[int, str, int]
"""A model reply: the attempt, the agent, and the number of earlier replies of that agent."""


class ChatStreamOptions(Struct, frozen=True):
    """`include_usage`: every chunk has `usage: null`, and a last chunk has the run's usage. `key` names the
    extension object of a mount that attributes events to agents, and is `""` on other mounts. `functions`:
    calls that run on the server are `tool_calls` too, as on the platform whose clients `/agent/{id}`
    serves. `turn` as for `TurnEncoder`: a turn of the run is one completion, or all of it."""

    include_usage: bool = False
    key: str = ""
    functions: bool = False
    turn: int | None = None


class ChatChunks(TurnEncoder):
    """Encodes a run as chunks, for a sink."""

    def __init__(self, run: str, options: ChatStreamOptions, sink: ChunkSink) -> None:
        super().__init__(run, options.turn)
        self._sink = sink
        self._job = ids.job_id(run)
        self._options = options
        self._calls: dict[int, t.ItemStarted] = {}
        self._replies: dict[str, int] = {}
        self._attempt = 1
        self._reset()

    _request: RunRequest

    def _reset(self) -> None:
        """Reset what belongs to one completion."""
        self._fields: Object = {}
        self._places: dict[str, int] = {}
        self._reply_of: dict[int, Reply] = {}
        self._call_indexes: dict[int, int] = {}
        self._client_called = False
        self._totals = Totals()
        self._server_fields = ServerFields()
        self._last: Reply | None = None
        self._thinking: Reply | None = None
        self._thoughts: list[Object] = []

    def read(self, events: Sequence[t.Event]) -> None:
        if not self._options.key:
            super().read(events)
            return
        for event in events:
            self._attribute(event)
            super().read((event,))

    def _attribute(self, event: t.Event) -> None:
        """Set the extension object for the chunks of this event. It also carries the calls and results of
        tools that run on the server, because chunks have no other field for them."""
        entry = about(self._roster, event.agent, self._job, event.seq)
        payload = event.payload
        match payload:
            case t.ToolStarted() | t.ToolCompleted():
                call = self._calls.get(payload.item)
                if call is not None:
                    entry["tool_call"] = {"id": call.call_id, "name": call.name}
                if isinstance(payload, t.ToolCompleted):
                    entry["tool_result"] = {"output": payload.output, "is_error": payload.is_error}
            case t.RunFailed():
                entry["error"] = {"code": payload.code, "message": payload.message}
            case _:
                pass
        self._sink.set_extension({self._options.key: entry})

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._roster.start(payload)
        if self._options.key:
            self._attribute(event)  # again: the main agent's name is known only now
        self._request = payload.request
        self._open_completion(event)

    def _open_completion(self, event: t.Event) -> None:
        tier = self._request.settings.service_tier
        self._fields = {
            "id": ids.chat_id(self.run, self._turn),
            "object": "chat.completion.chunk",
            "created": event.ts // 1000,
            "model": self._request.model,
            "service_tier": tier if tier in wire.SERVICE_TIERS else "default",
            "system_fingerprint": None,
        }
        self._sink.set_head(self._fields)
        self._sink.add({"role": "assistant", "content": "", "refusal": None})

    def _end_turn(self, event: t.Event) -> None:
        """End the completion of this turn with the open questions."""
        separator = SEPARATOR if self._last is not None else ""
        for question in self._questions.open():
            if question.text:
                self._sink.add_text("content", separator + question.text)
                separator = SEPARATOR
            index = self._call_indexes[-1 - len(self._call_indexes)] = len(self._call_indexes)
            self._add_call(index, question.call_id, ASK_USER)
            self._sink.add_arguments(index, question.arguments_json)
            self._client_called = True
        self._finish("tool_calls" if self._client_called else "stop")

    def _begin_turn(self, event: t.Event, payload: t.RunResumed) -> None:
        self._sink.restart()
        self._reset()
        self._request = payload.request or self._request
        self._open_completion(event)

    def _on_run_attempt(self, event: t.Event, payload: t.RunAttempt) -> None:
        if not payload.keeps_replies:
            self._attempt = payload.number

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        self._replies[event.agent] = self._replies.get(event.agent, 0) + 1

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        self._replies[event.agent] = self._replies.get(event.agent, 0) + 1
        if self._roster.shows(event.node):
            self._totals += Totals.of(payload)
            self._server_fields.add(payload)

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        is_main = self._roster.is_main(event.agent)
        if not self._roster.shows(event.node) or not (is_main or self._options.key):
            return
        number = self._replies.get(event.agent, 0)
        reply = self._reply_of[payload.item] = (self._attempt, event.agent, number)
        if is_main and reply != self._thinking:
            self._thinking, self._thoughts = reply, []
        if payload.kind == "tool_call":
            self._open_call(payload)

    def _open_call(self, start: t.ItemStarted) -> None:
        if self._options.key:
            self._calls[start.item] = start
        client = start.runs_on == "client" and not start.waits_for
        if not (client or self._options.functions):
            return
        self._client_called = self._client_called or client
        index = self._call_indexes[start.item] = len(self._call_indexes)
        self._add_call(index, start.call_id, start.name)

    def _add_call(self, index: int, id: str, name: str) -> None:
        call: Object = {
            "index": index,
            "id": id,
            "type": "function",  # for custom calls too: the SDKs' chunk types have no other type
            "function": {"name": name, "arguments": ""},
        }
        self._sink.add({"tool_calls": [call]})

    def _on_text_delta(self, event: t.Event, payload: t.TextDelta) -> None:
        text, reply = payload.text, self._reply_of.get(payload.item)
        if reply is None or not text:
            return
        if reply is not self._last:
            if self._last is not None and reply != self._last:
                text = SEPARATOR + text
            self._last = reply
        if payload.logprobs or payload.details:
            self._add_piece("content", text, payload.details, payload.logprobs)
        else:
            self._sink.add_text("content", text)

    def _on_refusal_delta(self, event: t.Event, payload: t.RefusalDelta) -> None:
        if payload.item in self._reply_of:
            self._add_piece("refusal", payload.text, payload.details)

    def _on_reasoning_delta(self, event: t.Event, payload: t.ReasoningDelta) -> None:
        if payload.item in self._reply_of:
            self._add_piece("reasoning_content", payload.text, payload.details)

    def _on_summary_delta(self, event: t.Event, payload: t.ReasoningSummaryDelta) -> None:
        if payload.item in self._reply_of:
            self._sink.add_text("reasoning_content", payload.text)

    def _add_piece(
        self, field: str, text: str, details: Object, logprobs: Sequence[Json] = ()
    ) -> None:
        """Add a piece of text, with the fields that its chat server sent with it."""
        if details or logprobs:
            delta, choice = extras.beside(details)
            self._sink.add({field: text, **delta}, logprobs, beside=choice)
        else:
            self._sink.add_text(field, text)

    def _on_arguments_delta(self, event: t.Event, payload: t.ArgumentsDelta) -> None:
        index = self._call_indexes.get(payload.item)
        if index is not None:
            self._sink.add_arguments(index, payload.text)

    def _on_audio_delta(self, event: t.Event, payload: t.AudioDelta) -> None:
        if payload.item in self._reply_of:
            self._add_delta({"audio": {"data": payload.data}})

    def _on_transcript_delta(self, event: t.Event, payload: t.TranscriptDelta) -> None:
        if payload.item in self._reply_of:
            self._add_delta({"audio": {"transcript": payload.text}})

    def _on_annotation_added(self, event: t.Event, payload: t.AnnotationAdded) -> None:
        annotation = wire.annotation(payload.annotation)
        if payload.item in self._reply_of and annotation is not None:
            self._add_delta({"annotations": [annotation]})

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        self._questions.complete_call(payload)
        if payload.item in self._reply_of:
            self._add_delta(extras.of(payload, self._call_indexes.get(payload.item)))
            if isinstance(payload.content, Reasoning) and self._roster.is_main(event.agent):
                self._thoughts += thoughts.entries_of(payload.content)

    def _add_delta(self, delta: Object) -> None:
        if delta:
            self._sink.add(extras.with_indexes(delta, self._places))

    def _on_tool_event(self, event: t.Event, payload: t.ToolStarted | t.ToolCompleted) -> None:
        if self._options.key and self._roster.shows(event.node):
            self._sink.add({})

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        if not self.is_on_turn:
            return  # the run has no such turn
        self.done = True
        if isinstance(payload, t.RunFailed | t.RunCancelled):
            self._sink.fail(wire.failure(payload))
            return
        self._finish(wire.finish_reason(payload, calls=self._client_called))

    def _finish(self, reason: str) -> None:
        """End the completion."""
        if self._thoughts:
            self._add_delta({"reasoning_details": self._thoughts})
        self._sink.set_head({**self._fields, **self._server_fields.about})
        self._sink.add({}, finish_reason=reason, beside=self._server_fields.choice)
        if self._server_fields.has_counts:
            self._sink.add_usage(self._server_fields.usage(wire.usage(self._totals)))
        self._sink.close()

    SHOWN: ClassVar[Table] = {
        **TurnEncoder.TURNS,
        t.RunStarted: _on_run_started,
        t.RunAttempt: _on_run_attempt,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.ItemStarted: _on_item_started,
        t.TextDelta: _on_text_delta,
        t.RefusalDelta: _on_refusal_delta,
        t.ReasoningDelta: _on_reasoning_delta,
        t.ReasoningSummaryDelta: _on_summary_delta,
        t.ArgumentsDelta: _on_arguments_delta,
        t.AnnotationAdded: _on_annotation_added,
        t.AudioDelta: _on_audio_delta,
        t.TranscriptDelta: _on_transcript_delta,
        t.ItemCompleted: _on_item_completed,
        t.ToolStarted: _on_tool_event,
        t.ToolCompleted: _on_tool_event,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
    }
    HIDDEN = frozenset(
        {
            t.NodeCompleted,
            t.NodeFailed,
            t.AgentCompleted,
            t.ImagePartial,
            t.ProviderEvent,
            t.ToolProgress,
            t.CompactionStarted,
            t.CompactionCompleted,
            t.ContextUsage,
            t.Custom,
        }
    )


class ChatEncoder(ChatChunks):
    """`StreamEncoder`: the chunks of a run as frames."""

    def __init__(self, run: str, options: ChatStreamOptions) -> None:
        self._chunk_frames = ChunkFrames(include_usage=options.include_usage)
        super().__init__(run, options, self._chunk_frames)

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        """The frames for these events, in order."""
        self.read(events)
        return self._chunk_frames.take() if self.is_on_turn else []
