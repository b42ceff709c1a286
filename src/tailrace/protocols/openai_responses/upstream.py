"""Responses as model servers speak it: our request to one, its events to payloads.

Items are told apart by `output_index`. Types we have a word for become items of ours; all others are
`provider` items, kept as they came. Ends with one of three events; what OpenAI's own streams leave open
(`mcp_list_tools` in 2 of 4 recordings) is closed from the final response.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Item, Json, ProviderItem, Reasoning
from tailrace.events.request import ModelRequest
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, given
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.openai_responses import items as wire_items
from tailrace.protocols.openai_responses import tools
from tailrace.protocols.upstream import SseReplyDecoder, call_id, http_failure, stream_failure

DIALECT = wire_items.DIALECT
_json = msgspec.json.Encoder().encode


class Event(Struct):
    """Any stream event, flat; only the fields that some type we read has."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: Json = None
    logprobs: list[Json] | None = None
    annotation: Object | None = None
    item: Object | None = None
    response: Object | None = None
    error: Json = None
    message: str | None = None
    code: str | None = None


_event = msgspec.json.Decoder(Event).decode


class ResponsesCodec:
    """`UpstreamCodec` for Responses servers."""

    dialect = DIALECT

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        settings = request.settings
        body: Object = {
            "model": model,
            "input": wire_items.encode_items(filter(_ours, request.items)),
            "stream": True,
            "store": False,
            **given(
                {
                    "instructions": request.instructions,
                    "max_output_tokens": settings.max_output_tokens,
                    "temperature": settings.temperature,
                    "top_p": settings.top_p,
                    "top_logprobs": settings.top_logprobs,
                    "parallel_tool_calls": settings.parallel_tool_calls,
                    "service_tier": settings.service_tier,
                    "user": settings.user,
                    "tools": tools.encode_tools(settings.tools),
                }
            ),
        }
        if settings.tools and settings.tool_choice != ModelRequest(items=()).settings.tool_choice:
            body["tool_choice"] = tools.encode_choice(settings)
        reasoning = given(
            {"effort": settings.reasoning_effort, "summary": settings.reasoning_summary}
        )
        include: list[Json] = []
        if reasoning:
            body["reasoning"] = reasoning
            include.append("reasoning.encrypted_content")
        if settings.logprobs:
            include.append("message.output_text.logprobs")
        if include:
            body["include"] = include
        text: Object = given({"verbosity": settings.verbosity})
        if settings.output.kind != "text":
            text["format"] = tools.encode_format(settings.output)
        if text:
            body["text"] = text
        if settings.origin == self.dialect:
            body |= settings.extra
        return HttpRequest("/responses", {}, _json(body))

    def decoder(self, items: Iterator[int], model: str) -> ResponsesDecoder:
        return ResponsesDecoder(items, model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body)


def _ours(item: Item) -> bool:
    """Whether a Responses server can make anything of it."""
    match item:
        case ProviderItem():
            return item.dialect == DIALECT
        case Reasoning():  # without its secret or its text it is refused, for nothing is stored there
            return bool(item.text or item.details.get(DIALECT, {}).get("encrypted_content"))
        case _:
            return True


class _Open:
    """An item that is open: its ordinal and type, and where its parts stand."""

    def __init__(self, item: int, kind: str) -> None:
        self.item = item
        self.kind = kind
        self.streamed = False
        self._parts: dict[tuple[str, int], int] = {}

    def part(self, kind: str, index: int) -> int:
        """Our ordinal of the server's part: in the order in which parts get content."""
        group = kind if kind == "summary" else "content"
        key = (kind, index)
        if key not in self._parts:
            taken = [k for k, _ in self._parts if (k == "summary") == (group == "summary")]
            self._parts[key] = len(taken)
        return self._parts[key]


class ResponsesDecoder(SseReplyDecoder):
    """One reply of a Responses server."""

    def __init__(self, items: Iterator[int], model: str) -> None:
        super().__init__(items, model)
        self._by_index: dict[int, _Open] = {}
        self._calls = False

    def _event(self, event: SseEvent) -> None:
        if event.data == b"[DONE]":
            return
        found = _event(event.data)
        match found.type:
            case "response.output_item.added":
                self._added(found.output_index, found.item or {})
            case "response.output_item.done":
                self._done(found.output_index, found.item or {})
            case "response.completed" | "response.incomplete":
                self._end(found.response or {})
            case "response.failed" | "error":
                self._failed(found)
            case _:
                opened = self._by_index.get(found.output_index)
                if opened is not None:
                    self._grown(found, opened)

    def _grown(self, event: Event, opened: _Open) -> None:
        """Something was added to an open item; anything we have no word for is passed over."""
        text = event.delta if isinstance(event.delta, str) else ""
        match event.type:
            case "response.output_text.delta" if opened.kind == "message":
                part = opened.part("text", event.content_index)
                logprobs = tuple(event.logprobs or ())
                self._emit(t.TextDelta(opened.item, text, part, logprobs))
            case "response.refusal.delta" if opened.kind == "message":
                part = opened.part("refusal", event.content_index)
                self._emit(t.RefusalDelta(opened.item, text, part))
            case "response.output_text.annotation.added" if opened.kind == "message":
                part = opened.part("text", event.content_index)
                self._emit(t.AnnotationAdded(opened.item, event.annotation or {}, part))
            case "response.reasoning_text.delta" if opened.kind == "reasoning":
                part = opened.part("reasoning", event.content_index)
                self._emit(t.ReasoningDelta(opened.item, text, part))
            case "response.reasoning_summary_text.delta" if opened.kind == "reasoning":
                part = opened.part("summary", event.summary_index)
                self._emit(t.ReasoningSummaryDelta(opened.item, text, part))
            case (
                "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta"
            ) if opened.kind == "tool_call":
                self._emit(t.ArgumentsDelta(opened.item, text))
            case _:
                return
        opened.streamed = True

    def _added(self, index: int, item: Object) -> None:
        kind = item.get("type")
        match kind:
            case "message":
                number = self._open("message", phase=item.get("phase") or "")
                self._by_index[index] = _Open(number, "message")
            case "reasoning":
                self._by_index[index] = _Open(self._open("reasoning"), "reasoning")
            case "function_call" | "custom_tool_call":
                self._calls = True
                number = next(self._items)
                started = t.ItemStarted(
                    number,
                    "tool_call",
                    name=str(item.get("name") or ""),
                    call_id=call_id(item.get("call_id"), number),
                    custom=kind == "custom_tool_call",
                )
                self._emit(started)
                self._by_index[index] = _Open(number, "tool_call")
            case _:
                number = self._open("provider", dialect=DIALECT, data=item)
                self._by_index[index] = _Open(number, "provider")

    def _done(self, index: int, item: Object) -> None:
        if index not in self._by_index:
            self._added(index, item)
        opened = self._by_index.pop(index)
        if opened.kind == "provider":
            self._finish(opened.item, content=ProviderItem(dialect=DIALECT, data=item))
            return
        if not opened.streamed:
            self._whole(opened, item)
        secret = given({"id": item.get("id"), "encrypted_content": item.get("encrypted_content")})
        keep = opened.kind == "reasoning" and "encrypted_content" in secret
        self._finish(opened.item, details={DIALECT: secret} if keep else {})

    def _whole(self, opened: _Open, item: Object) -> None:
        """A server that sends an item's content only when it is done."""
        for part, text in enumerate(_texts(item.get("summary"), "text")):
            self._emit(t.ReasoningSummaryDelta(opened.item, text, part))
        for part, text in enumerate(_texts(item.get("content"), "text")):
            if opened.kind == "reasoning":
                self._emit(t.ReasoningDelta(opened.item, text, part))
            else:
                self._emit(t.TextDelta(opened.item, text, part))
        arguments = item.get("arguments") or item.get("input")
        if opened.kind == "tool_call" and isinstance(arguments, str):
            self._emit(t.ArgumentsDelta(opened.item, arguments))

    def _end(self, response: Object) -> None:
        output: list[Object] = response.get("output") or []
        for index in sorted(self._by_index):
            self._done(index, output[index] if index < len(output) else {})
        self._emit(self._usage(response))
        self.done = True

    def _usage(self, response: Object) -> t.Usage:
        usage: Object = response.get("usage") or {}
        before: Object = usage.get("input_tokens_details") or {}
        after: Object = usage.get("output_tokens_details") or {}
        details: Object = response.get("incomplete_details") or {}
        reason = details.get("reason")
        finish: t.Finish = "tool_calls" if self._calls else "stop"
        if response.get("status") == "incomplete" or reason:
            finish = "content_filter" if reason == "content_filter" else "length"
        return t.Usage(
            self._model,
            input=usage.get("input_tokens") or 0,
            cached=before.get("cached_tokens") or 0,
            cache_write=before.get("cache_write_tokens") or 0,
            output=usage.get("output_tokens") or 0,
            reasoning=after.get("reasoning_tokens") or 0,
            finish=finish,
            response_id=str(response.get("id") or ""),
        )

    def _failed(self, event: Event) -> None:
        """`error` flat or nested, or `response.failed` with the error in the response."""
        nested: Json = event.error or (event.response or {}).get("error")
        fields = cast("Object", nested) if isinstance(nested, dict) else {}
        message = str(fields.get("message") or event.message or "")
        self.failure = stream_failure(message, fields.get("code") or event.code)


def _texts(parts: Json, field: str) -> list[str]:
    """The texts of a list of parts, empty ones left out."""
    if not isinstance(parts, list):
        return []
    objects = cast("list[Object]", parts)
    found = [part.get(field) for part in objects]
    return [text for text in found if isinstance(text, str) and text]
