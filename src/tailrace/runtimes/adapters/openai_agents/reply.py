"""One model reply of an OpenAI Agents SDK agent on its way into the log.

Every model of the SDK streams OpenAI's Responses events, whatever protocol its server has. Items are
identified by `output_index` (ids may all be the same placeholder), events and items by their `type` (their
types are unions of dozens, here `Any`). Calls stay open until the reply has ended, and those that the
finished response does not have end as incomplete: the SDK runs only calls in the response.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from agents import Tool

from tailrace.errors import LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.items import ProviderItem
from tailrace.protocols.upstream_errors import server_failure
from tailrace.runtimes.adapters.openai_agents.items import RESPONSES, details, dump, texts
from tailrace.runtimes.adapters.reply_recorder import ReplyRecorder

CALLS = ("function_call", "custom_tool_call")


class _Open:
    """An open item: its ordinal, its type, and our ordinals of the server's parts."""

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.has_deltas = False
        self._parts: dict[tuple[str, int], int] = {}

    def part(self, kind: str, index: int) -> int:
        """Our ordinal: parts count in the order in which they get content, summaries separately."""
        key = (kind, index)
        if key not in self._parts:
            alike = [k for k, _ in self._parts if (k == "summary") == (kind == "summary")]
            self._parts[key] = len(alike)
        return self._parts[key]


class OpenAIAgentsReply:
    """Opens and closes the items of one reply.

    `tools` are the agent's own by name, `theirs` the names of the client's. `output` is the output of the
    response once the reply is `done`.
    """

    def __init__(
        self,
        recorder: ReplyRecorder,
        *,
        label: str,
        tools: Mapping[str, Tool],
        theirs: Collection[str],
    ) -> None:
        self.output: list[Any] = []
        self.response: Any = None
        self._recorder = recorder
        self._say = recorder.emit
        self._label = label
        self._tools = tools
        self._theirs = theirs
        self._open: dict[int, _Open] = {}
        self._calls: dict[str, _Open] = {}
        self._has_items = False

    @property
    def has_output(self) -> bool:
        """Whether any event of it has arrived."""
        return self._has_items or self.response is not None

    def take(self, event: Any) -> None:
        """One event. Raises `ModelFailed` for a failure that the model server reports."""
        match event.type:
            case "response.output_item.added":
                self._on_item_added(event.output_index, event.item)
            case "response.output_item.done":
                self._on_item_done(event.output_index, event.item)
                self.output.append(event.item)
            case "response.completed" | "response.incomplete":
                self.response = event.response
            case "response.failed":
                error = event.response.error
                raise _server_failure(error.code if error is not None else None)
            case "error":
                raise _server_failure(event.code)
            case _:
                self._on_delta(event)

    def finish(self) -> None:
        """The stream has ended. Raises `ModelFailed`, or `LimitReached` for a reply that a limit cut off."""
        response = self.response
        if response is None:
            raise ModelFailed("The model's reply ended in the middle.")
        self.output = list(response.output) or self.output
        self.whole(response, response.model, response.id)
        if cut := _cut(response):
            raise LimitReached("content_filter" if cut == "content_filter" else "max_output_tokens")

    def whole(self, response: Any, model: str, id: str | None) -> None:
        """Record the parts of a response that were not streamed, close what is open, account for it."""
        self.output = self.output or list(response.output)
        rest = [item for item in self.output if self._is_new(item)]
        for index, item in enumerate(rest, -len(rest)):
            self._on_item_added(index, item)
            self._on_item_done(index, item)
        cut = _cut(response)
        whole = {item.call_id: item for item in self.output if item.type in CALLS and not cut}
        for index, open_item in list(self._open.items()):
            same = self.output[index] if 0 <= index < len(self.output) else None
            if same is not None and same.type == open_item.kind:
                self._on_item_done(index, same)
            elif open_item.kind not in CALLS:
                self._say(t.ItemCompleted(open_item.number))
        for call_id, open_item in self._calls.items():
            if call_id in whole:
                self._finish_call(open_item, whole[call_id])
            else:
                self._say(t.ItemCompleted(open_item.number, "incomplete"))
        finish = cut or ("tool_calls" if whole else "stop")
        self._say(_usage(response.usage, t.Usage(model, finish=finish, response_id=id or "")))

    def _is_new(self, item: Any) -> bool:
        return item.call_id not in self._calls if item.type in CALLS else not self._has_items

    def _on_delta(self, event: Any) -> None:
        """Add to an open item; events that we do not have are ignored."""
        open_item = self._open.get(getattr(event, "output_index", -1))
        if open_item is None:
            return
        number = open_item.number
        payload: t.Payload
        match event.type, open_item.kind:
            case "response.output_text.delta", "message":
                logprobs = tuple(dump(each) for each in event.logprobs or ())
                part = open_item.part("text", event.content_index)
                payload = t.TextDelta(number, event.delta, part, logprobs)
            case (
                (
                    "response.function_call_arguments.delta"
                    | "response.custom_tool_call_input.delta"
                ),
                ("function_call" | "custom_tool_call"),
            ):
                payload = t.ArgumentsDelta(number, event.delta)
            case "response.reasoning_text.delta", "reasoning":
                part = open_item.part("text", event.content_index)
                payload = t.ReasoningDelta(number, event.delta, part)
            case "response.reasoning_summary_text.delta", "reasoning":
                part = open_item.part("summary", event.summary_index)
                payload = t.ReasoningSummaryDelta(number, event.delta, part)
            case "response.refusal.delta", "message":
                part = open_item.part("refusal", event.content_index)
                payload = t.RefusalDelta(number, event.delta, part)
            case "response.output_text.annotation.added", "message":
                part = open_item.part("text", event.content_index)
                annotation = event.annotation
                payload = t.AnnotationAdded(number, _json(annotation), part)
            case _:
                return
        open_item.has_deltas = True
        self._say(payload)

    def _on_item_added(self, index: int, item: Any) -> None:
        """An item opens. A call that has no id yet opens when it is done."""
        self._has_items = True
        kind = item.type
        if kind in CALLS and not item.call_id:
            return
        number = self._recorder.next_number()
        if item.type == "message":
            started = t.ItemStarted(number, "message", phase=getattr(item, "phase", None) or "")
        elif kind == "reasoning":
            started = t.ItemStarted(number, "reasoning")
        elif kind in CALLS:
            started = self._call(number, item)
        else:
            started = t.ItemStarted(number, "provider", dialect=RESPONSES, data=dump(item))
        self._say(started)
        open_item = self._open[index] = _Open(number, kind)
        if kind in CALLS:
            self._calls[item.call_id] = open_item

    def _call(self, number: int, item: Any) -> t.ItemStarted:
        tool = self._tools.get(item.name)
        client = tool is None and item.name in self._theirs
        return t.ItemStarted(
            number,
            "tool_call",
            name=item.name,
            call_id=item.call_id,
            runs_on="client" if client else "server",
            server_label="" if client else self._label,
            custom=item.type == "custom_tool_call",
            waits_for="approval" if getattr(tool, "needs_approval", False) is True else "",
        )

    def _on_item_done(self, index: int, item: Any) -> None:
        """An item is complete. Calls stay open."""
        if index not in self._open:
            self._on_item_added(index, item)
        open_item = self._open.get(index)
        if open_item is None or open_item.kind in CALLS:
            return
        del self._open[index]
        if item.type not in ("message", "reasoning"):
            data = dump(item)
            content = ProviderItem(dialect=RESPONSES, data=data)
            self._say(t.ItemCompleted(open_item.number, content=content))
            return
        if not open_item.has_deltas:
            self._emit_texts(open_item.number, item)
        self._say(t.ItemCompleted(open_item.number, details=details(item)))

    def _emit_texts(self, number: int, item: Any) -> None:
        """The text of an item without streamed deltas."""
        if item.type == "reasoning":
            for part, text in enumerate(texts(item.summary)):
                self._say(t.ReasoningSummaryDelta(number, text, part))
            for part, text in enumerate(texts(item.content)):
                self._say(t.ReasoningDelta(number, text, part))
            return
        for part, content in enumerate(item.content):
            if content.type == "refusal":
                self._say(t.RefusalDelta(number, content.refusal, part))
            else:
                self._say(t.TextDelta(number, content.text, part))

    def _finish_call(self, open_item: _Open, item: Any) -> None:
        if not open_item.has_deltas:
            text = item.arguments if item.type == "function_call" else item.input
            if text:
                self._say(t.ArgumentsDelta(open_item.number, text))
        self._say(t.ItemCompleted(open_item.number, details=details(item)))


def _json(value: Any) -> Any:
    return dump(value) if hasattr(value, "model_dump") else value


def _server_failure(code: str | None) -> ModelFailed:
    """A failure in the stream. The server's text may have secrets and is removed."""
    failure = server_failure("", {"code": code})
    return failure.but(message=f"The model server reported an error: {code or 'without a code'}.")


def _cut(response: Any) -> t.Finish | None:
    """The reason why a response ended early."""
    reason = getattr(getattr(response, "incomplete_details", None), "reason", None)
    if reason is None and getattr(response, "status", None) != "incomplete":
        return None
    return "content_filter" if reason == "content_filter" else "length"


def _usage(counts: Any, usage: t.Usage) -> t.Usage:
    """`usage` with the counts that the model server gave, if it did."""
    if counts is None:
        return usage
    before, after = counts.input_tokens_details, counts.output_tokens_details
    return msgspec.structs.replace(
        usage,
        input=counts.input_tokens or 0,
        cached=getattr(before, "cached_tokens", 0) or 0,
        cache_write=getattr(before, "cache_write_tokens", 0) or 0,
        output=counts.output_tokens or 0,
        reasoning=getattr(after, "reasoning_tokens", 0) or 0,
    )
