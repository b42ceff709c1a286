"""A recorded UI message stream read back: its chunks as payloads of one agent.

Reads any server's stream of these chunks. Usage is part of `finish`, where tailrace wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.ai_sdk_ui.wire import KEY
from tailrace.protocols.fields import Object, nested
from tailrace.protocols.recorded import ObjectReader

FINISH: dict[str, t.Finish] = {
    "length": "length",
    "content-filter": "content_filter",
    "tool-calls": "tool_calls",
}

NOTHING_SAID = frozenset(
    {
        "start",
        "start-step",
        "finish-step",
        "message-metadata",
        "file",
        "reasoning-file",
        "tool-approval-request",
        "tool-approval-response",
        "tool-output-denied",
        "custom",
        "reset-step",
        "steering-message",
    }
)
"""Chunks of ai 7 without content of an agent, like data parts. Any other type is not a chunk."""


class UiReader(ObjectReader):
    """`RecordedReader` for UI message chunks."""

    FRAME = "a UI chunk"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, int] = {}
        self._with_arguments: set[int] = set()
        self._last = -1

    def _payloads(self, value: Object) -> Iterator[t.Payload]:  # noqa: C901 - one arm per chunk
        match kind := value["type"]:
            case "text-start" | "reasoning-start":
                item = self._open[value["id"]] = self._last = next(self._items)
                yield t.ItemStarted(item, "message" if kind == "text-start" else "reasoning")
            case "text-delta":
                yield t.TextDelta(self._open[value["id"]], value["delta"])
            case "reasoning-delta":
                yield t.ReasoningDelta(self._open[value["id"]], value["delta"])
            case "text-end" | "reasoning-end":
                yield t.ItemCompleted(self._open.pop(value["id"]))
            case "source-url" | "source-document":
                if self._last in self._open.values():
                    yield t.AnnotationAdded(self._last, _citation(value))
            case "tool-input-start" | "tool-input-delta" | "tool-input-available":
                yield from self._call(value, kind)
            case "tool-input-error":
                yield from self._call({**value, "input": value.get("input")}, kind)
                yield from self._result(value, value["errorText"], is_error=True)
            case "tool-output-available":
                yield from self._result(value, value["output"], is_error=False)
            case "tool-output-error":
                yield from self._result(value, value["errorText"], is_error=True)
            case "finish":
                yield self._usage(value)
                self.done = True
            case "abort":
                self.done = self.cancelled = True
            case "error":
                self.failure = ModelFailed(value["errorText"])
            case _ if kind in NOTHING_SAID or kind.startswith("data-"):
                pass
            case _:
                raise KeyError(kind)

    def _call(self, chunk: Object, kind: str) -> Iterator[t.Payload]:
        id = chunk["toolCallId"]
        if id not in self._calls:
            item = self._calls[id] = next(self._items)
            ours = chunk.get("providerExecuted") is True
            yield t.ItemStarted(
                item,
                "tool_call",
                name=chunk["toolName"],
                call_id=id,
                runs_on="server" if ours else "client",
            )
        item = self._calls[id]
        if kind == "tool-input-delta":
            self._with_arguments.add(item)
            yield t.ArgumentsDelta(item, chunk["inputTextDelta"])
        elif kind != "tool-input-start":
            if item not in self._with_arguments:
                yield t.ArgumentsDelta(item, _text(chunk["input"]))
            yield t.ItemCompleted(item)

    def _result(self, chunk: Object, output: Json, *, is_error: bool) -> Iterator[t.Payload]:
        if chunk.get("providerExecuted") is True and chunk.get("preliminary") is not True:
            item = self._calls[chunk["toolCallId"]]
            yield t.ToolStarted(item)
            yield t.ToolCompleted(item, _text(output), is_error)

    def _usage(self, chunk: Object) -> t.Usage:
        metadata = nested(nested(chunk, "messageMetadata"), KEY)
        counts: Object = nested(metadata, "usage")
        finish = FINISH.get(chunk.get("finishReason") or metadata.get("finishReason", ""), "stop")
        return t.Usage(
            "",
            input=counts.get("inputTokens", 0),
            cached=counts.get("cachedInputTokens", 0),
            output=counts.get("outputTokens", 0),
            reasoning=counts.get("reasoningTokens", 0),
            finish=finish,
        )


def _citation(chunk: Object) -> Object:
    if chunk["type"] == "source-document":
        name = chunk.get("filename") or chunk.get("title") or ""
        return {"type": "file_citation", "file_id": "", "filename": name, "index": 0}
    title = chunk.get("title") or ""
    return {
        "type": "url_citation",
        "url": chunk["url"],
        "title": title,
        "start_index": 0,
        "end_index": 0,
    }


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
