"""Chat Completions as model servers speak it: our request to one, its chunks to payloads.

Chat servers differ more than any others: reasoning under three names or inside the content, calls
without index or id, finish reasons repeated on every chunk, no `[DONE]`. What a chunk adds opens and
closes items here; a reply counts as whole when a finish reason was seen before the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.events.request import ModelRequest
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, given
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.openai_chat import messages, tools
from tailrace.protocols.openai_chat.upstream_wire import Call, Choice, Chunk, ChunkUsage, Delta
from tailrace.protocols.upstream import SseReplyDecoder, call_id, http_failure, stream_failure

_chunk = msgspec.json.Decoder(Chunk).decode
_json = msgspec.json.Encoder().encode

FINISH: dict[str, t.Finish] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChatCodec:
    """`UpstreamCodec` for chat servers."""

    dialect = messages.DIALECT

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        settings = request.settings
        body: Object = {
            "model": model,
            "messages": messages.encode_messages(request.items, request.instructions),
            "stream": True,
            "stream_options": {"include_usage": True},
            **given(
                {
                    "stop": list(settings.stop),
                    "max_completion_tokens": settings.max_output_tokens,
                    "reasoning_effort": settings.reasoning_effort,
                    "verbosity": settings.verbosity,
                    "service_tier": settings.service_tier,
                    "user": settings.user,
                    "top_logprobs": settings.top_logprobs,
                    "parallel_tool_calls": settings.parallel_tool_calls,
                    "temperature": settings.temperature,
                    "top_p": settings.top_p,
                    "seed": settings.seed,
                    "presence_penalty": settings.presence_penalty,
                    "frequency_penalty": settings.frequency_penalty,
                }
            ),
        }
        if settings.logprobs:
            body["logprobs"] = True
        if declared := tools.encode_tools(settings.tools):
            body["tools"] = declared
            if settings.tool_choice != _AUTO:
                body["tool_choice"] = tools.encode_choice(settings)
        else:
            body.pop("parallel_tool_calls", None)
        if settings.output.kind != "text":
            body["response_format"] = tools.encode_format(settings.output)
        if settings.origin == self.dialect:
            body |= settings.extra
        return HttpRequest("/chat/completions", {}, _json(body))

    def decoder(self, items: Iterator[int], model: str) -> ChatDecoder:
        return ChatDecoder(items, model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body)


_AUTO = ModelRequest(items=()).settings.tool_choice


class ChatDecoder(SseReplyDecoder):
    """One reply of a chat server."""

    def __init__(self, items: Iterator[int], model: str) -> None:
        super().__init__(items, model)
        self._reasoning: int | None = None
        self._details: list[Json] = []
        self._message: int | None = None
        self._part = 0
        self._part_kind = ""
        self._calls: dict[int, int] = {}
        self._call_ids: dict[int, str] = {}
        self._open_calls: list[int] = []
        self._finish_reason: str | None = None
        self._usage = ChunkUsage()
        self._id = ""

    def _event(self, event: SseEvent) -> None:
        if event.data == b"[DONE]":
            self._end()
            return
        chunk = _chunk(event.data)
        if chunk.error:
            self._error(chunk.error)
            return
        self._id = self._id or chunk.id or ""
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choice(choice)

    def _closed(self) -> None:
        if self._finish_reason is None:
            super()._closed()
        else:
            self._end()

    def _error(self, error: Json) -> None:
        if isinstance(error, dict):
            found = cast("Object", error)
            message = str(found.get("message") or found.get("code") or "")
            self.failure = stream_failure(message, found.get("code"))
        else:
            self.failure = stream_failure(str(error))

    def _choice(self, choice: Choice) -> None:
        if choice.finish_reason == "error":
            self.failure = stream_failure("The model server broke off its reply.")
            return
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if delta is None:
            return
        self._think(delta)
        content = delta.content
        if isinstance(content, str):
            if content:
                logprobs = choice.logprobs.content if choice.logprobs else None
                self._text(content, tuple(logprobs or ()))
        elif content is not None:
            self._parts(content)
        if delta.refusal:
            self._in_part("refusal")
            self._emit(t.RefusalDelta(self._opened_message(), delta.refusal, self._part))
        for note in delta.annotations or ():
            self._annotation(note)
        for call in delta.tool_calls or ():
            self._call(call)

    def _think(self, delta: Delta) -> None:
        text = delta.reasoning_content or delta.reasoning
        if text:
            self._thought(text)
        if delta.reasoning_details:
            self._details.extend(delta.reasoning_details)

    def _thought(self, text: str) -> None:
        if self._reasoning is None:
            self._close_message()
            self._reasoning = self._open("reasoning")
        self._emit(t.ReasoningDelta(self._reasoning, text))

    def _text(self, text: str, logprobs: tuple[Json, ...] = ()) -> None:
        item = self._opened_message()
        self._in_part("text")
        self._emit(t.TextDelta(item, text, self._part, logprobs))

    def _parts(self, content: list[Json]) -> None:
        """Mistral's content: a list of text and thinking parts."""
        for part in content:
            if not isinstance(part, dict):
                continue
            fields = cast("Object", part)
            if fields.get("type") == "thinking":
                for thought in fields.get("thinking") or ():
                    self._thought(str(thought.get("text", "")))
            elif isinstance(fields.get("text"), str):
                self._text(fields["text"])

    def _annotation(self, note: Json) -> None:
        if not isinstance(note, dict):
            return
        fields = cast("Object", note)
        inner = fields.get("url_citation")
        if fields.get("type") == "url_citation" and isinstance(inner, dict):
            blank = {"start_index": 0, "end_index": 0, "title": "", "url": ""}
            fields = {"type": "url_citation", **blank, **given(cast("Object", inner))}
        item = self._opened_message()
        self._in_part("text")
        self._emit(t.AnnotationAdded(item, fields, self._part))

    def _call(self, call: Call) -> None:
        index = len(self._calls) if call.index is None else call.index
        if call.index is None and not call.id and self._calls:
            index = (
                len(self._calls) - 1
            )  # a piece of the call before, from a server without indexes
        body, custom = call.function or call.custom, call.custom is not None
        if call.id and body and body.name and self._call_ids.get(index, call.id) != call.id:
            index = max(self._calls) + 1  # a server that gives all its calls the same index
        if call.id:
            self._call_ids[index] = call.id
        item = self._calls.get(index)
        if item is None:
            self._close_reasoning()
            self._close_message()
            item = next(self._items)
            name = (body.name if body else "") or ""
            started = t.ItemStarted(
                item, "tool_call", name=name, call_id=call_id(call.id, item), custom=custom
            )
            self._emit(started)
            self._calls[index] = item
            self._open_calls.append(item)
        text: Json = call.custom.input if call.custom else None
        if call.function is not None:
            text = call.function.arguments
        if text:
            piece = text if isinstance(text, str) else _json(text).decode()
            self._emit(t.ArgumentsDelta(item, piece))

    def _opened_message(self) -> int:
        self._close_reasoning()
        if self._message is None:
            self._message = self._open("message")
            self._part, self._part_kind = 0, ""
        return self._message

    def _in_part(self, kind: str) -> None:
        """Be in a part of this kind: the present one or the next."""
        self._opened_message()
        if self._part_kind and self._part_kind != kind:
            self._part += 1
        self._part_kind = kind

    def _close_message(self) -> None:
        if self._message is not None:
            self._finish(self._message)
            self._message = None

    def _close_reasoning(self) -> None:
        if self._reasoning is not None:
            self._finish(self._reasoning, details=self._opaque())
            self._reasoning = None

    def _opaque(self) -> Json:
        details, self._details = self._details, []
        return {messages.DIALECT: {"reasoning_details": details}} if details else {}

    def _end(self) -> None:
        self._close_reasoning()
        self._close_message()
        for item in self._open_calls:
            self._finish(item)
        if self._details:  # came after the text it belongs to
            self._finish(self._open("reasoning"), details=self._opaque())
        finish = FINISH.get(self._finish_reason or "stop", "stop")
        if self._calls and finish == "stop":
            finish = "tool_calls"
        self._emit(_usage(self._usage, self._model, finish, self._id))
        self.done = True


def _usage(usage: ChunkUsage, model: str, finish: t.Finish, response_id: str) -> t.Usage:
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    return t.Usage(
        model,
        input=usage.prompt_tokens or 0,
        cached=(before.cached_tokens if before else 0) or 0,
        cache_write=(before.cache_write_tokens if before else 0) or 0,
        output=usage.completion_tokens or 0,
        reasoning=(after.reasoning_tokens if after else 0) or 0,
        finish=finish,
        response_id=response_id,
    )
