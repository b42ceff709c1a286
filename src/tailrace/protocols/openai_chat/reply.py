"""A run as one `chat.completion` document: the sum of the chunks of its stream, without output that a crash
cut off and a later attempt produced again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from tailrace.events.history import lasting
from tailrace.events.items import Json
from tailrace.events.types import Event, RunFailed
from tailrace.protocols import failures
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.openai_chat.stream import ChatChunks, ChatStreamOptions

_json = msgspec.json.Encoder().encode


CANCELLED = 409
"""The HTTP status of a cancelled run."""
NO_SOUND: Object = {"id": "", "expires_at": 0, "data": "", "transcript": ""}
"""The fields that the SDKs require in a message's `audio`; other servers and interrupted replies have
fewer."""


def completion(run: str, events: Sequence[Event], options: ChatStreamOptions) -> tuple[bytes, int]:
    """The document of an ended turn and its HTTP status; if the status is not 200, the document is the error
    body."""
    document = ChunkDocument()
    ChatChunks(run, options, document).read(lasting(events))
    if document.error is not None:
        end = events[-1].payload
        status = failures.openai(end).status if isinstance(end, RunFailed) else CANCELLED
        return _json(document.error), status
    return _json(document.whole()), 200


class ChunkDocument:
    """`ChunkSink` that adds chunks up. For fields that it does not know the last value wins."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.error: Object | None = None
        self._head: Object = {}
        self._extension: Object = {}
        self._usage: Json = None
        self._texts: dict[str, list[str]] = {}
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._calls: list[Object] = []
        self._fields: Object = {}
        self._finish_reason: str | None = None
        self._beside: Object = {}

    def set_head(self, fields: Object) -> None:
        self._head = fields

    def set_extension(self, extension: Object) -> None:
        self._extension = extension

    def add_text(self, field: str, text: str) -> None:
        self._texts.setdefault(field, []).append(text)

    def add_arguments(self, index: int, text: str) -> None:
        self._add_call({"index": index, "function": {"arguments": text}})

    def add(
        self,
        delta: Object,
        logprobs: Sequence[Json] = (),
        finish_reason: str | None = None,
        beside: Object | None = None,
    ) -> None:
        self._finish_reason = finish_reason or self._finish_reason
        self._beside |= beside or {}
        self._logprobs += logprobs
        for field, value in delta.items():
            match field:
                case "role":
                    pass
                case "content" | "refusal" | "reasoning_content":
                    self.add_text(field, value or "")
                case "annotations":
                    self._annotations += [_without_place(note) for note in value]
                case "tool_calls":
                    for call in value:
                        self._add_call(dict(call))
                case "audio":
                    self._add_sound(value)
                case _:
                    grows = field in ("images", "reasoning_details")
                    value = [*self._fields.get(field, ()), *value] if grows else value
                    self._fields[field] = value

    def _add_call(self, call: Object) -> None:
        index, function = call.pop("index"), dict(call.pop("function", {}))
        if index == len(self._calls):
            self._calls.append({**call, "function": function})
            return
        before: Object = {**self._calls[index]}
        whole = any_object(before["function"])
        whole["arguments"] += function.pop("arguments", "")
        self._calls[index] = {**before, **call, "function": {**whole, **function}}

    def _add_sound(self, sound: Object) -> None:
        whole = cast("Object", self._fields.setdefault("audio", {}))
        for name, value in sound.items():
            joins = name in ("data", "transcript")
            whole[name] = whole.get(name, "") + value if joins else value

    def add_usage(self, usage: Object) -> None:
        self._usage, self._extension = usage, {}

    def fail(self, body: Object) -> None:
        self.error = body

    def close(self) -> None:
        pass  # a document has no end mark

    def whole(self) -> Object:
        """Returns the `chat.completion`."""
        if "audio" in self._fields:
            self._fields["audio"] = NO_SOUND | self._fields["audio"]
        texts = {field: "".join(pieces) for field, pieces in self._texts.items()}
        content, refusal = texts["content"], texts["refusal"]
        message: Object = {
            "role": "assistant",
            "content": content if content or not (self._calls or refusal or self._fields) else None,
            "refusal": refusal or None,
            **{k: v for k, v in texts.items() if k == "reasoning_content"},
            **without_empty({"annotations": self._annotations, "tool_calls": self._calls}),
            **self._fields,
        }
        choice: Object = {
            "index": 0,
            "message": message,
            "logprobs": {"content": self._logprobs, "refusal": None} if self._logprobs else None,
            "finish_reason": self._finish_reason,
            **self._beside,
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage,
            **self._extension,
        }


def _without_place(note: Object) -> Object:
    return {name: value for name, value in note.items() if name != "index"}
