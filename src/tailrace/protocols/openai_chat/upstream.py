"""Chat Completions as model servers speak it: encodes a model request, and decodes the chunks of the reply to
payloads.

Chat servers differ more than those of other dialects: reasoning is in one of three fields or inside the
content, calls lack an index or an id, messages are whole instead of deltas, and finish reasons are repeated
on every chunk or missing. The decoder opens and closes items according to the fields of each chunk, and
ignores a field of an unexpected type. A reply is complete if a finish reason of `FINISH` was received before
the end, or if the server sent `[DONE]` after items that are complete without a finish reason. Any other
finish reason is a failure, and so is an empty reply.
"""

from __future__ import annotations

import msgspec

from tailrace.errors import ModelFailed, NoReply
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.events.request import ModelRequest
from tailrace.events.tools import declarations
from tailrace.protocols import foreign, upstream_events
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.fields import Object, any_object, objects, without_empty
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.offered import Names
from tailrace.protocols.openai_chat import history, messages, tools
from tailrace.protocols.openai_chat import upstream_wire as wire
from tailrace.protocols.openai_chat.rules import OPENAI, Rules
from tailrace.protocols.openai_chat.upstream_calls import StreamedCalls
from tailrace.protocols.openai_chat.upstream_media import Audio
from tailrace.protocols.openai_chat.upstream_media import image as image_content
from tailrace.protocols.operators_faults import NO_REPLY
from tailrace.protocols.secrets import scrub
from tailrace.protocols.upstream import NOTHING, SseReplyDecoder, http_failure
from tailrace.protocols.upstream_errors import MAX_MESSAGE

_json = msgspec.json.Encoder().encode


class ChatCodec:
    """`UpstreamCodec` for chat servers."""

    dialect: str = messages.DIALECT

    def __init__(self, rules: Rules = OPENAI) -> None:
        self._rules = rules

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        settings, rules = request.settings, self._rules
        foreign.check(settings, self.dialect)
        if settings.max_output_tokens == 0:  # only in Messages, where 0 fills a cache
            raise tools.no_form("says at least one token", "max_tokens")
        names = Names(declarations(settings.tools, request.items), self.dialect, settings.origin)
        body: Object = {
            "model": model,
            "messages": history.encode_messages(
                request.items, request.instructions, rules, settings.origin, names
            ),
            "stream": True,
            "stream_options": {"include_usage": True},
            **without_empty(
                {
                    "stop": list(settings.stop),
                    rules.max_tokens_field: settings.max_output_tokens,
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
        body |= tools.encode(request, names, rules)
        if "tools" not in body and (settings.tools or settings.origin != self.dialect):
            body.pop("parallel_tool_calls", None)
        if settings.output.kind != "text":
            body["response_format"] = tools.encode_format(settings.output)
        if settings.origin == self.dialect:
            body |= settings.extra
        if request.beginning:
            body |= self._continuation(body["messages"], request.beginning)
        offered_tools = tools.offered_tools(request, names, rules)
        return HttpRequest("/chat/completions", {}, _json(body), offered_tools=offered_tools)

    def _continuation(self, conversation: list[Object], text: str) -> Object:
        """The fields that make a server continue the beginning of a reply."""
        message: Object = {"role": "assistant", "content": text}
        match self._rules.continue_reply:
            case "":
                return {}
            case "prefill":
                return {"messages": [*conversation, message]}
            case "prefix":
                return {"messages": [*conversation, {**message, "prefix": True}]}
            case "continue_final_message":
                how = {"continue_final_message": True, "add_generation_prompt": False}
                return {"messages": [*conversation, message], **how}

    def decoder(self, model: str) -> ChatDecoder:
        return ChatDecoder(model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body, self.dialect)


class ChatDecoder(SseReplyDecoder):
    """Decodes one reply of a chat server."""

    dialect = ChatCodec.dialect

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._has_items = False
        self._reasoning: int | None = None
        self._field = ""
        self._details: list[Object] = []
        self._message: int | None = None
        self._message_fields: Object = {}
        self._display_fields: Object = {}
        self._beside_piece: Object = {}
        self._of_choice: Object = {}
        self._part = 0
        self._part_kind = ""
        self._audio: Audio | None = None
        self._calls = StreamedCalls(self._items)
        self._finish_reason = ""
        self._usage: Object = {}
        self._about: Object = {}
        self._id = ""

    def _event(self, event: SseEvent) -> None:
        chunk = wire.chunk(event)
        before, reason = len(self._out), self._finish_reason
        if not self._id:
            self._id = wire.name(chunk.id)
        if counts := wire.counts(chunk):
            self._usage = counts
        if not (self._has_items and wire.only_speaks(chunk)):
            self._beside(chunk, event.data)
        if chunk.choices is None:
            self._no_chunk(event)
            return
        for choice in chunk.choices:
            if choice.index == 0 or wire.place(choice.index) in (0, None):
                self._choice(choice)
        self._has_content = (
            len(self._out) > before or self._finish_reason != reason or bool(self._calls)
        )

    def _beside(self, chunk: wire.ChatChunk, data: bytes) -> None:
        """Keep the fields of an unusual chunk that this module has no names for."""
        if not self._has_items or wire.is_last(chunk):
            self._about |= wire.beside(data)

    def _no_chunk(self, event: SseEvent) -> None:
        """Read an object without choices: either the final counts, or an object that only reports an
        error."""
        about = upstream_events.value_object(event.data)
        if not str(about.get("object")).startswith("chat.completion"):
            upstream_events.raise_only_words(about)
        self._has_content = bool(self._usage)

    def _end_without_final_event(self) -> None:
        if self._finish_reason or (self._has_done_mark and self._has_items and self._calls.whole):
            self._end()
        elif self._has_done_mark and not self._has_items:
            raise NoReply(NOTHING, status=502, code=NO_REPLY, retryable=True)
        else:
            super()._end_without_final_event()

    def _cut_off(self) -> None:
        for payload in self._calls.begin():
            self._emit(payload)

    def _choice(self, choice: wire.Choice) -> None:
        if choice.beside is not None:
            self._beside_piece = {"choice": choice.beside}
        self._read(choice)
        if self._beside_piece:  # the chunk had no text to carry these fields
            self._display_fields = wire.add_delta(
                self._display_fields, self._beside_piece.get("delta", {})
            )
            self._of_choice |= self._beside_piece.get("choice", {})
            self._beside_piece = {}

    def _read(self, choice: wire.Choice) -> None:
        if choice.error is not None:
            upstream_events.raise_reported({"error": choice.error})
        delta = choice.delta
        if not self._has_items and choice.message is not None:
            delta = wire.delta(choice.message) or delta  # from a server that does not stream
        if delta is not None:
            self._delta(delta, choice)
        elif choice.text is not None and not self._has_items:
            self._text(wire.text(choice.text))
        if choice.finish_reason is None:
            return
        reason = wire.finish(choice.finish_reason)
        if reason and reason not in wire.FINISH:
            ours = f"The model server broke off its reply ({reason[:40]})."
            words = scrub(upstream_events.words(choice.message).strip()[:MAX_MESSAGE])
            raise ModelFailed(words or ours, public=ours)
        self._finish_reason = reason or self._finish_reason

    def _delta(self, delta: wire.Delta, choice: wire.Choice) -> None:
        if delta.beside is not None:
            self._beside_piece = {**self._beside_piece, "delta": delta.beside}
        self._think(delta)
        if isinstance(delta.content, str):
            if delta.content:
                logprobs = wire.logprobs(choice.logprobs) if choice.logprobs is not None else ()
                self._text(delta.content, logprobs)
        elif delta.content is not None:
            self._parts(objects(delta.content))
        if delta.refusal is not None and (refusal := wire.text(delta.refusal)):
            item = self._in_part("refusal")
            self._emit(t.RefusalDelta(item, refusal, self._part, self._piece()))
        if delta.tool_calls is not None:
            self._call(objects(delta.tool_calls))
        if delta.rare():
            self._rare(delta)

    def _rare(self, delta: wire.Delta) -> None:
        upstream_events.raise_reported({"error": delta.error})
        for note in filter(None, map(wire.citation, objects(delta.annotations))):
            item = self._in_part("text")
            self._emit(t.AnnotationAdded(item, note, self._part))
        if delta.function_call is not None:
            self._call([{"function": call} for call in objects(delta.function_call)])
        for image in objects(delta.images):
            self._image(image)
        for sound in objects(delta.audio):
            self._sound(sound)
        if delta.extra_content is not None:
            self._message_fields["extra_content"] = delta.extra_content

    def _think(self, delta: wire.Delta) -> None:
        reasoning = delta.reasoning_content
        if reasoning == "" and not self._field:
            self._message_fields["reasoning_content"] = ""  # some servers require it back
        if isinstance(reasoning, str) and reasoning:
            self._add_reasoning(reasoning, "reasoning_content")
        elif isinstance(delta.reasoning, str) and delta.reasoning:
            self._add_reasoning(delta.reasoning, "reasoning")
        if delta.reasoning_details is not None:
            self._details += objects(delta.reasoning_details)

    def _add_reasoning(self, text: str, field: str) -> None:
        if self._reasoning is None:
            self._close_message()
            self._start()
            self._reasoning = self._open("reasoning")
            self._field = field
            self._message_fields.pop("reasoning_content", None)
        self._emit(t.ReasoningDelta(self._reasoning, text, 0, self._piece()))

    def _text(self, text: str, logprobs: tuple[Json, ...] = ()) -> None:
        if text:
            item = self._in_part("text")
            self._emit(t.TextDelta(item, text, self._part, logprobs, self._piece()))

    def _piece(self) -> dict[str, Json]:
        """The additional fields of a chunk, as `details` of its first piece of text. Readers of a stream
        receive them there, so the message does not repeat them."""
        if not self._beside_piece:
            return {}
        beside, self._beside_piece = self._beside_piece, {}
        for name in beside.get("delta", ()):
            self._display_fields.pop(name, None)
        return messages.details_of(**beside)

    def _parts(self, content: list[Object]) -> None:
        """Read Mistral's content: a list of text and thinking parts."""
        for part in content:
            if part.get("type") == "thinking":
                for text in wire.thoughts(part):
                    self._add_reasoning(text, "thinking")
            elif part.get("type") == "image_url":
                self._image(part)
            else:
                self._text(wire.text(part.get("text")))

    def _call(self, pieces: list[Object]) -> None:
        if not pieces:
            return
        self._close_reasoning()
        self._close_message()
        self._has_items = True
        for payload in self._calls.add(pieces):
            self._emit(payload)

    def _sound(self, sound: Object) -> None:
        if self._audio is None:
            self._start()
            self._audio = Audio(self._open("audio"))
        for payload in self._audio.add(sound):
            self._emit(payload)

    def _image(self, image: Object) -> None:
        url = wire.text(any_object(image.get("image_url")).get("url"))
        if url:
            self._start()
            self._finish(self._open("image"), content=image_content(url, image))

    def _start(self) -> None:
        """Start the calls that are still pending, because an item of another kind begins after them."""
        self._has_items = True
        for payload in self._calls.begin():
            self._emit(payload)

    def _in_part(self, kind: str) -> int:
        """The number of the open message, with a part of this kind open: the present part or a new one."""
        if self._message is None:
            self._close_reasoning()
            self._start()
            self._message = self._open("message")
            self._part, self._part_kind = 0, kind
        elif self._part_kind != kind:
            self._part, self._part_kind = self._part + 1, kind
        return self._message

    def _close_message(self) -> None:
        if self._message is not None:
            self._finish(self._message, details=messages.details_of(**self._take_message_fields()))
            self._message = None

    def _close_reasoning(self) -> None:
        if self._reasoning is not None:
            self._finish(
                self._reasoning,
                details=messages.details_of(field=self._field, reasoning_details=self._opaque()),
            )
            self._reasoning = None

    def _opaque(self) -> list[Object]:
        details, self._details = wire.join_details(self._details), []
        return details

    def _take_message_fields(self) -> Object:
        """Take the fields of the assistant's message as a whole: those that are sent back, and those that are
        only shown to the client. A second call returns none."""
        message, self._message_fields = self._message_fields, {}
        display, self._display_fields = self._display_fields, {}
        return {"message": message, "shown": display}

    def _end(self) -> None:
        self._close_reasoning()
        self._close_message()
        if self._audio is not None:
            self._emit(self._audio.whole())
        if self._details:  # received after the text they belong to, or without any text
            self._finish(
                self._open("reasoning"),
                details=messages.details_of(reasoning_details=self._opaque()),
            )
        for payload in self._calls.end(self._take_message_fields()):
            self._emit(payload)
        finish = wire.FINISH.get(self._finish_reason, "stop")
        if self._calls and finish == "stop":
            finish = "tool_calls"
        counts: Object = {"usage": self._usage} if self._usage else {"uncounted": True}
        about = messages.details_of(**self._about, **counts, choice=self._of_choice)
        usage = t.Usage(self._model, finish=finish, response_id=self._id, details=about)
        self._emit(msgspec.structs.replace(usage, **wire.totals(self._usage)))
        self.done = True
