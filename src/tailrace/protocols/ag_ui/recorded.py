"""Decodes a recorded AG-UI stream: its events as payloads of one agent.

The reader decodes the text, reasoning and calls of the main agent from starts, contents and ends (not from
the `_CHUNK` shorthand). Consecutive runs in one stream, such as those of a thread that paused, become one.
Only the result of a call shows that the call ran on the server, so calls are held until their result or the
end of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json, Status
from tailrace.protocols.ag_ui.wire import KEY
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.recorded import ObjectReader

FINISH: dict[str, t.Finish] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Reasons of an incomplete run that the model caused."""


class _RecordedCall(Struct):
    """A call, as far as its events have been read."""

    name: str
    arguments: str = ""


NOTHING_SAID = frozenset(
    {
        "STEP_STARTED",
        "STEP_FINISHED",
        "STATE_SNAPSHOT",
        "STATE_DELTA",
        "MESSAGES_SNAPSHOT",
        "ACTIVITY_SNAPSHOT",
        "ACTIVITY_DELTA",
        "REASONING_START",
        "REASONING_END",
        "REASONING_ENCRYPTED_VALUE",
        "TOOL_CALL_END",
        "SUBAGENT_STARTED",
        "SUBAGENT_FINISHED",
        "SUBAGENT_ERROR",
        "RAW",
        "CUSTOM",
    }
)
"""Events of AG-UI 1.0 without output of an agent. Any other type is not part of AG-UI 1.0, or tailrace does
not send it (`…_CHUNK`)."""


class AgUiReader(ObjectReader):
    """`RecordedReader` for AG-UI events."""

    FRAME = "an AG-UI event"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[str, _RecordedCall] = {}
        self._waits = False

    def close(self) -> list[t.Payload]:
        """End a recording; it may end where its thread waits for a person."""
        self.done = self.done or self._waits
        return self._rest("stop") if self._waits else []

    def _payloads(self, value: Object) -> Iterator[t.Payload]:
        return iter(()) if "subagentRunId" in value else self._of_main_agent(value, value["type"])

    def _of_main_agent(self, event: Object, kind: str) -> Iterator[t.Payload]:  # noqa: C901 - one arm per event
        match kind:
            case "RUN_STARTED":
                self._waits = False
            case "TEXT_MESSAGE_START" | "REASONING_MESSAGE_START":
                item = self._open[event["messageId"]] = next(self._items)
                is_message = kind == "TEXT_MESSAGE_START"
                yield t.ItemStarted(item, "message" if is_message else "reasoning")
            case "TEXT_MESSAGE_CONTENT":
                yield t.TextDelta(self._open[event["messageId"]], event["delta"])
            case "REASONING_MESSAGE_CONTENT":
                yield t.ReasoningDelta(self._open[event["messageId"]], event["delta"])
            case "TEXT_MESSAGE_END" | "REASONING_MESSAGE_END":
                yield t.ItemCompleted(self._open.pop(event["messageId"]), _status(event))
            case "TOOL_CALL_START":
                self._calls[event["toolCallId"]] = _RecordedCall(event["toolCallName"])
            case "TOOL_CALL_ARGS":
                self._calls[event["toolCallId"]].arguments += event["delta"]
            case "TOOL_CALL_RESULT":
                yield from self._call_result(event)
            case "RUN_FINISHED":
                yield from self._run_end(event)
            case "RUN_ERROR":
                code = event.get("code") or "server_error"
                self.cancelled = self.done = code == "cancelled"
                self.failure = None if self.cancelled else ModelFailed(event["message"], code=code)
            case _ if kind in NOTHING_SAID:
                pass
            case _:
                raise KeyError(kind)

    def _call_result(self, event: Object) -> Iterator[t.Payload]:
        id = event["toolCallId"]
        call = self._calls.pop(id, None)
        if call is not None:  # otherwise the client provided the result
            item = next(self._items)
            yield from _call_payloads(item, id, call, "server")
            yield t.ToolStarted(item)
            failed = _metadata(event).get("isError") is True
            yield t.ToolCompleted(item, _text(event["content"]), failed)

    def _run_end(self, event: Object) -> Iterator[t.Payload]:
        kind = any_object(event.get("outcome")).get("type")
        self._waits = kind == "interrupt"
        self.cancelled = kind == "cancelled"
        self.done = not self._waits
        finish = FINISH.get(str(any_object(event.get("result")).get("reason")), "stop")
        if self.done:
            yield from self._rest(finish)
        for usage in event.get("usage", ()):
            yield _usage(usage, finish)

    def _rest(self, finish: t.Finish) -> list[t.Payload]:
        """End the calls without a result: the client runs them."""
        payloads: list[t.Payload] = []
        for id, call in self._calls.items():
            payloads += _call_payloads(next(self._items), id, call, "client")
        self._calls = {}
        return [*payloads, t.Usage("", finish=finish)] if payloads else []


def _call_payloads(item: int, id: str, call: _RecordedCall, runs_on: t.RunsOn) -> list[t.Payload]:
    started = t.ItemStarted(item, "tool_call", name=call.name, call_id=id, runs_on=runs_on)
    return [started, t.ArgumentsDelta(item, call.arguments), t.ItemCompleted(item)]


def _usage(counts: Object, finish: t.Finish) -> t.Usage:
    return t.Usage(
        counts.get("model", ""),
        input=counts.get("inputTokens", 0),
        cached=counts.get("cachedInputTokens", 0),
        cache_write=counts.get("cacheWriteInputTokens", 0),
        output=counts.get("outputTokens", 0),
        reasoning=counts.get("reasoningTokens", 0),
        finish=finish,
    )


def _metadata(event: Object) -> Object:
    """The metadata that tailrace adds to an event."""
    return any_object(any_object(event.get("metadata")).get(KEY))


def _status(event: Object) -> Status:
    return "incomplete" if _metadata(event).get("status") == "incomplete" else "completed"


def _text(content: Json) -> str:
    """The text of a result, as a model reads it."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
