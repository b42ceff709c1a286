"""What a model says, on the Responses stream: messages and reasoning, part by part."""

from __future__ import annotations

import msgspec

from tailrace.events import types as t
from tailrace.events.items import Json, Message, Reasoning, TextPart
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.openai_responses import wire
from tailrace.protocols.openai_responses.writer import ItemWriter, ResponsesEmitter, template

ENCRYPTED = "reasoning.encrypted_content"
NO_LOGPROBS = b',"logprobs":[]'


class MessageWriter(ItemWriter):
    """A message: parts of text or refusal, one open at a time."""

    prefix = "msg"

    def __init__(self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._part = -1
        self._pieces: list[str] = []
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._refusal = False
        self._delta = b""

    def zero(self) -> Object:
        return wire.message(
            self.id, Message(role="assistant", phase=self.started.phase), "in_progress"
        )

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.TextDelta):  # the hot one
            if payload.part != self._part:
                self._begin(payload.part, refusal=False)
            self._pieces.append(payload.text)
            if payload.logprobs:
                self._logprobs.extend(payload.logprobs)
                logprobs = b',"logprobs":' + _json(payload.logprobs)
                self.stream.delta(self._template(logprobs), payload.text)
            else:
                self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.RefusalDelta):
            if payload.part != self._part:
                self._begin(payload.part, refusal=True)
            self._pieces.append(payload.text)
            self.stream.delta(self._delta, payload.text)
        elif isinstance(payload, t.AnnotationAdded) and wire.is_citation(payload.annotation):
            if payload.part != self._part:
                self._begin(payload.part, refusal=False)
            self._emit(
                "output_text.annotation.added",
                content_index=self._part,
                annotation_index=len(self._annotations),
                annotation=payload.annotation,
            )
            self._annotations.append(payload.annotation)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, Message):
            self._close(wire.message(self.id, self._whole(payload.content), payload.status))

    def _whole(self, said: Message) -> Message:
        """The message, with an empty text where it has no part at all."""
        if self._part < 0 and not wire.has_others(said):
            self._begin(0, refusal=False)
        if self._part < 0:
            return said
        self._end_part()
        return msgspec.structs.replace(said, content=said.content or (TextPart(""),))

    def _begin(self, part: int, *, refusal: bool) -> None:
        if self._part >= 0:
            self._end_part()
        self._part, self._refusal = part, refusal
        self._pieces, self._annotations, self._logprobs = [], [], []
        self._delta = self._template(b"" if refusal else NO_LOGPROBS)
        shape = {"type": "refusal", "refusal": ""} if refusal else wire.text_part()
        self._emit("content_part.added", content_index=part, part=shape)

    def _template(self, tail: bytes) -> bytes:
        kind = "refusal.delta" if self._refusal else "output_text.delta"
        return template(kind, self.place + b',"content_index":%d' % self._part, tail)

    def _end_part(self) -> None:
        text, at = "".join(self._pieces), self._part
        if self._refusal:
            self._emit("refusal.done", content_index=at, refusal=text)
            shape: Object = {"type": "refusal", "refusal": text}
        else:
            logprobs = self._logprobs
            self._emit("output_text.done", content_index=at, text=text, logprobs=logprobs)
            shape = wire.text_part(TextPart(text, tuple(self._annotations), tuple(logprobs)))
        self._emit("content_part.done", content_index=at, part=shape)


class ReasoningWriter(ItemWriter):
    """Reasoning: summary parts and raw text parts, each kind with its own ordinals.

    A part is done when one of the other kind begins. Where it goes on after that, what is more is a part of
    its own, in the finished item too.
    """

    prefix = "rs"

    def __init__(self, stream: ResponsesEmitter, started: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, started, output_index)
        self._kind = ""
        self._part = -1
        self._pieces: list[str] = []
        self._template = b""
        self._done: dict[str, list[str]] = {"summary": [], "text": []}
        self._split = False

    def zero(self) -> Object:
        return wire.reasoning(self.id, Reasoning(), encrypted=False)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ReasoningDelta):
            self._delta("text", payload)
        elif isinstance(payload, t.ReasoningSummaryDelta):
            self._delta("summary", payload)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, Reasoning):
            self._end_part()
            encrypted = ENCRYPTED in self.stream.options.include
            content = payload.content
            if self._split:
                summary, text = (tuple(self._done[kind]) for kind in ("summary", "text"))
                content = msgspec.structs.replace(content, summary=summary, text=text)
            self._close(wire.reasoning(self.id, content, encrypted=encrypted))

    def _delta(self, kind: str, payload: t.ReasoningDelta | t.ReasoningSummaryDelta) -> None:
        if payload.part != self._part or kind != self._kind:
            self._begin(kind, payload.part)
        self._pieces.append(payload.text)
        self.stream.delta(self._template, payload.text)

    def _begin(self, kind: str, part: int) -> None:
        self._end_part()
        self._kind, self._part, self._pieces = kind, part, []
        at = len(self._done[kind])
        self._split = self._split or at != part
        name, index = (
            ("reasoning_summary_text.delta", b"summary_index")
            if kind == "summary"
            else ("reasoning_text.delta", b"content_index")
        )
        self._template = template(name, self.place + b',"%b":%d' % (index, at))
        if kind == "summary":
            shape = {"type": "summary_text", "text": ""}
            self._emit("reasoning_summary_part.added", summary_index=at, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": ""}
            self._emit("content_part.added", content_index=at, part=shape)

    def _end_part(self) -> None:
        if self._part < 0:
            return
        text, at = "".join(self._pieces), len(self._done[self._kind])
        self._done[self._kind].append(text)
        if self._kind == "summary":
            shape = {"type": "summary_text", "text": text}
            self._emit("reasoning_summary_text.done", summary_index=at, text=text)
            self._emit("reasoning_summary_part.done", summary_index=at, part=shape)
        else:
            shape = {"type": "reasoning_text", "text": text}
            self._emit("reasoning_text.done", content_index=at, text=text)
            self._emit("content_part.done", content_index=at, part=shape)
        self._part = -1
