"""A run as a Chat Completions stream: events to chunks.

One answer is one message here: what the model says in several replies is parted by a blank line, calls
of tools the client runs get contiguous indexes, and what runs on our side is not shown. Reasoning rides in
`reasoning_content`, the field most servers and clients agreed on; a client that does not know it ignores
it. What a chat server said that only this dialect knows comes when its item ends (`stream_extras.py`). What
a server of another dialect must get back of its thoughts comes at the end (`thoughts.py`), of the last reply
alone: the one message stands for it when it goes back, and a thought without what it led to is refused.
Chunk order follows 48 recorded streams of real servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Reasoning
from tailrace.events.usage import Totals
from tailrace.protocols.attribution import Roster, about
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.openai_chat import stream_extras as extras
from tailrace.protocols.openai_chat import thoughts, wire
from tailrace.protocols.openai_chat.stream_extras import Served

DONE = b"data: [DONE]\n\n"
NOT_ENDED = b'"logprobs":null,"finish_reason":null'
"""What most choices say besides their delta."""
SEPARATOR = "\n\n"
"""Between the texts of two model replies."""

Hot = t.ArgumentsDelta | t.ReasoningDelta | t.ReasoningSummaryDelta | t.RefusalDelta
HOT = (t.ArgumentsDelta, t.ReasoningDelta, t.ReasoningSummaryDelta, t.RefusalDelta)
"""With text, what most events of a run are: it does not walk through the whole match."""

Reply = tuple[int, str, int]
"""A model reply: the attempt, the agent, and how many replies that agent had before."""


class ChatStreamOptions(Struct, frozen=True):
    """`include_usage`: `usage: null` on every chunk, and a last chunk with the run's usage. `key` names
    the extension object of a mount that attributes, `""` elsewhere. `functions`: calls that run on our
    side are `tool_calls` too, as on the platform whose clients `/agent/{id}` was made for."""

    include_usage: bool = False
    key: str = ""
    functions: bool = False


class ChatEncoder:
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: ChatStreamOptions) -> None:
        self.done = False
        self._id = ids.chat_id(run)
        self._job = ids.job_id(run)
        self._options = options
        self._roster = Roster()
        self._fields: Object = {}
        self._places: dict[str, int] = {}
        self._head = b""
        self._tail = b""
        self._shown: dict[int, Reply] = {}
        self._calls: dict[int, int] = {}
        self._handed = False
        self._names: dict[int, t.ItemStarted] = {}
        self._totals = Totals()
        self._served = Served()
        self._replies: dict[str, int] = {}
        self._attempt = 1
        self._last: Reply | None = None
        self._thinking: Reply | None = None
        self._thoughts: list[Object] = []
        self._frames: list[bytes] = []

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        self._frames = frames = list[bytes]()
        for event in events:
            payload = event.payload
            if self._options.key:
                self._tell(event)
            if isinstance(payload, t.TextDelta):
                if payload.item in self._shown:
                    self._text(payload)
            elif isinstance(payload, HOT):
                if payload.item in self._shown:
                    self._delta(payload)
            else:
                self._other(event)
        self._frames = []
        return frames

    def _delta(self, payload: Hot) -> None:
        if isinstance(payload, t.ArgumentsDelta):
            if payload.item in self._calls:
                self._arguments(payload)
        elif isinstance(payload, t.RefusalDelta):
            self._piece("refusal", payload.text, payload.details)
        else:
            more = {} if isinstance(payload, t.ReasoningSummaryDelta) else payload.details
            self._piece("reasoning_content", payload.text, more)

    def _piece(self, field: str, text: str, details: Object, rest: bytes = NOT_ENDED) -> None:
        """A piece of text, with what its chat server said beside it."""
        delta: Object = {field: text}
        if details:
            more, choice = extras.beside(details)
            delta |= more
            rest += b"," + _json(choice)[1:-1] if choice else b""
        self._chunk(_json(delta), rest)

    def _chunk(self, delta: bytes, rest: bytes = NOT_ENDED) -> None:
        self._frames.append(
            b'%b"choices":[{"index":0,"delta":%b,%b}]%b' % (self._head, delta, rest, self._tail)
        )

    def _text(self, delta: t.TextDelta) -> None:
        text = delta.text
        if not text:
            return
        reply = self._shown[delta.item]
        if reply is not self._last:
            if self._last is not None and reply != self._last:
                text = SEPARATOR + text
            self._last = reply
        if delta.logprobs or delta.details:
            rest = NOT_ENDED
            if delta.logprobs:
                logprobs = {"content": list(delta.logprobs), "refusal": None}
                rest = b'"logprobs":%b,"finish_reason":null' % _json(logprobs)
            self._piece("content", text, delta.details, rest)
        else:
            self._chunk(b'{"content":%b}' % _json(text))

    def _other(self, event: t.Event) -> None:  # noqa: C901 - one arm per family
        payload = event.payload
        match payload:
            case t.RunStarted():
                self._roster.started(payload)
                if self._options.key:
                    self._tell(event)  # once more: only now is the main agent's name known
                self._started(event, payload)
            case t.AgentStarted():
                self._roster.joined(event.agent, payload)
            case t.ToolStarted() | t.ToolCompleted():
                if self._options.key and self._roster.shows(event.node):
                    self._chunk(b"{}")
            case t.RunCompleted() | t.RunIncomplete() | t.RunFailed() | t.RunCancelled():
                self._ended(payload)
            case t.NodeStarted():
                self._roster.opened(event.node, payload)
            case t.ItemStarted():
                if self._roster.shows(event.node) and self._shows(event.agent):
                    number = self._replies.get(event.agent, 0)
                    reply = self._shown[payload.item] = (self._attempt, event.agent, number)
                    if self._roster.is_main(event.agent) and reply != self._thinking:
                        self._thinking, self._thoughts = reply, []
                    self._opened(payload)
            case t.Usage():
                self._replies[event.agent] = self._replies.get(event.agent, 0) + 1
                if self._roster.shows(event.node):
                    self._totals += Totals.of(payload)
                    self._served.add(payload)
            case t.RunAttempt():
                if not payload.keeps_replies:
                    self._attempt = payload.number
            case t.ReplyAbandoned():
                self._replies[event.agent] = self._replies.get(event.agent, 0) + 1
            case t.ItemCompleted():
                if payload.item in self._shown:
                    self._more(extras.of(payload, self._calls.get(payload.item)))
                    if isinstance(payload.content, Reasoning) and self._roster.is_main(event.agent):
                        self._thoughts += thoughts.told(payload.content)
            case t.AudioDelta():
                if payload.item in self._shown:
                    self._more({"audio": {"data": payload.data}})
            case t.TranscriptDelta():
                if payload.item in self._shown:
                    self._more({"audio": {"transcript": payload.text}})
            case t.AnnotationAdded():
                shown = wire.annotation(payload.annotation)
                if payload.item in self._shown and shown is not None:
                    self._more({"annotations": [shown]})
            case (
                t.TextDelta()
                | t.ArgumentsDelta()
                | t.ReasoningDelta()
                | t.ReasoningSummaryDelta()
                | t.RefusalDelta()
            ):
                pass  # taken before
            case (
                t.RunWaiting()
                | t.RunResumed()
                | t.NodeCompleted()
                | t.NodeFailed()
                | t.AgentCompleted()
                | t.ImagePartial()
                | t.ProviderEvent()
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
        tier = payload.request.settings.service_tier
        self._fields = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": event.ts // 1000,
            "model": payload.request.model,
            "service_tier": tier if tier in wire.SERVICE_TIERS else "default",
            "system_fingerprint": None,
        }
        self._head = b"data: " + _json(self._fields)[:-1] + b","
        if not self._options.key:
            self._tail = b',"usage":null}\n\n' if self._options.include_usage else b"}\n\n"
        self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def _opened(self, payload: t.ItemStarted) -> None:
        if payload.kind == "tool_call" and self._options.key:
            self._names[payload.item] = payload
        client = payload.runs_on == "client" and not payload.waits_for
        if payload.kind != "tool_call" or not (client or self._options.functions):
            return
        self._handed = self._handed or client
        index = self._calls[payload.item] = len(self._calls)
        call: Object = {
            "index": index,
            "id": payload.call_id,
            "type": "function",  # custom calls too: the SDKs' chunk types know no other
            "function": {"name": payload.name, "arguments": ""},
        }
        self._chunk(b'{"tool_calls":[%b]}' % _json(call))

    def _more(self, delta: Object) -> None:
        if delta:
            self._chunk(_json(extras.placed(delta, self._places)))

    def _arguments(self, payload: t.ArgumentsDelta) -> None:
        self._chunk(
            b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}'
            % (self._calls[payload.item], _json(payload.text))
        )

    def _shows(self, agent: str) -> bool:
        return bool(self._options.key) or self._roster.is_main(agent)

    def _tell(self, event: t.Event) -> None:
        """Let the chunks of this event say whose they are; a tool of ours rides along, for it has no
        other place here."""
        told = about(self._roster, event.agent, self._job, event.seq)
        payload = event.payload
        match payload:
            case t.ToolStarted() | t.ToolCompleted():
                call = self._names.get(payload.item)
                if call is not None:
                    told["tool_call"] = {"id": call.call_id, "name": call.name}
                if isinstance(payload, t.ToolCompleted):
                    told["tool_result"] = {"output": payload.output, "is_error": payload.is_error}
            case t.RunFailed():
                told["error"] = {"code": payload.code, "message": payload.message}
            case _:
                pass
        extra = b',"%b":%b' % (self._options.key.encode(), _json(told))
        usage = b',"usage":null' if self._options.include_usage else b""
        self._tail = usage + extra + b"}\n\n"

    def _ended(self, payload: t.RunEnd) -> None:
        self.done = True
        if isinstance(payload, t.RunFailed | t.RunCancelled):
            self._frames.append(b"data: " + _json(wire.failure(payload)) + b"\n\n")
            return
        if self._thoughts:
            self._more({"reasoning_details": self._thoughts})
        self._head = b"data: " + _json({**self._fields, **self._served.about})[:-1] + b","
        reason = wire.finish_reason(payload, calls=self._handed)
        more = b"," + _json(self._served.choice)[1:-1] if self._served.choice else b""
        self._chunk(b"{}", b'"logprobs":null,"finish_reason":"%b"%b' % (reason.encode(), more))
        if self._options.include_usage and self._served.counted:
            usage = _json(self._served.usage(wire.usage(self._totals)))
            self._frames.append(b'%b"choices":[],"usage":%b}\n\n' % (self._head, usage))
        self._frames.append(DONE)
