"""A run as one `chat.completion` document: what the chunks of its stream add up to, without what a crash cut
off and another attempt said anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from tailrace.events.history import lasting
from tailrace.events.items import Json
from tailrace.events.types import Event, RunFailed
from tailrace.protocols import failures
from tailrace.protocols.fields import Object, any_object, given
from tailrace.protocols.openai_chat.stream import ChatEncoder, ChatStreamOptions

_json = msgspec.json.Encoder().encode


CANCELLED = 409
"""The HTTP status of a run that somebody cancelled."""
NO_SOUND: Object = {"id": "", "expires_at": 0, "data": "", "transcript": ""}
"""What the SDKs require of a message's `audio`; other servers, and a reply that was cut, tell less of it."""


def completion(run: str, events: Sequence[Event], options: ChatStreamOptions) -> tuple[bytes, int]:
    """The document of an ended run and its HTTP status; where that is no 200, it is the error body."""
    total = _Sum()
    whole = msgspec.structs.replace(options, include_usage=True)
    for frame in ChatEncoder(run, whole).encode(lasting(events)):
        data = frame.removeprefix(b"data: ").rstrip(b"\n")
        if data != b"[DONE]":
            total.add(msgspec.json.decode(data))
    if total.error is not None:
        end = events[-1].payload
        status = failures.openai(end).status if isinstance(end, RunFailed) else CANCELLED
        return _json({"error": total.error}), status
    return _json(total.document()), 200


OF_CHOICE = ("index", "delta", "logprobs", "finish_reason")
"""Fields of a chunk's choice; of what a chat server says besides, the last word counts."""


class _Sum:
    """Chunks, added up."""

    def __init__(self) -> None:
        self.error: Json = None
        self._last: Object = {}
        self._texts: dict[str, str] = {}
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._calls: list[Object] = []
        self._more: Object = {}
        self._finish: Json = None
        self._choice: Object = {}

    def add(self, chunk: Object) -> None:
        if "error" in chunk:
            self.error = chunk["error"]
            return
        self._last = chunk
        for choice in chunk["choices"]:
            self._finish = choice["finish_reason"] or self._finish
            self._choice |= {k: v for k, v in choice.items() if k not in OF_CHOICE}
            logprobs: Object = choice["logprobs"] or {}
            self._logprobs += logprobs.get("content", ())
            self._add_delta(choice["delta"])

    def _add_delta(self, delta: Object) -> None:
        for field, value in delta.items():
            match field:
                case "role":
                    pass
                case "content" | "refusal" | "reasoning_content":
                    self._texts[field] = self._texts.get(field, "") + (value or "")
                case "annotations":
                    self._annotations += [_without_place(note) for note in value]
                case "tool_calls":
                    for call in value:
                        self._add_call(dict(call))
                case "audio":
                    self._add_sound(value)
                case _:
                    grows = field in ("images", "reasoning_details")
                    self._more[field] = [*self._more.get(field, ()), *value] if grows else value

    def _add_call(self, call: Object) -> None:
        index, function = call.pop("index"), call.pop("function", {})
        if index == len(self._calls):
            self._calls.append({**call, "function": dict(function)})
            return
        known: Object = {**self._calls[index]}
        said = any_object(known["function"])
        said["arguments"] += function.pop("arguments", "")
        self._calls[index] = {**known, **call, "function": {**said, **function}}

    def _add_sound(self, sound: Object) -> None:
        known = cast("Object", self._more.setdefault("audio", {}))
        for name, value in sound.items():
            joins = name in ("data", "transcript")
            known[name] = known.get(name, "") + value if joins else value

    def document(self) -> Object:
        """The `chat.completion`."""
        if "audio" in self._more:
            self._more["audio"] = NO_SOUND | self._more["audio"]
        content, refusal = self._texts["content"], self._texts["refusal"]
        message: Object = {
            "role": "assistant",
            "content": content if content or not (self._calls or refusal or self._more) else None,
            "refusal": refusal or None,
            **{k: v for k, v in self._texts.items() if k == "reasoning_content"},
            **given(
                {
                    "annotations": self._annotations,
                    "tool_calls": self._calls,
                }
            ),
            **self._more,
        }
        choice: Object = {
            "index": 0,
            "message": message,
            "logprobs": {"content": self._logprobs, "refusal": None} if self._logprobs else None,
            "finish_reason": self._finish,
            **self._choice,
        }
        return {**self._last, "object": "chat.completion", "choices": [choice]}


def _without_place(note: Object) -> Object:
    return {name: value for name, value in note.items() if name != "index"}
