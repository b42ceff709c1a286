"""Decodes a Responses server's reply to payloads.

The item of an event is found by its `item_id`, else by its `output_index`, else it is the last open item of
the kind; text without an item begins one. Unknown types become `provider` items. The final response completes
the reply: content that was in no event is taken from it, in its order. A call without usable arguments and a
message without text stay open until then. Only a final response, or `[DONE]` after complete items, ends a
reply; an error in any form fails it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem, Status
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.openai_responses import upstream_end as end
from tailrace.protocols.openai_responses.stream_provider import FORMS
from tailrace.protocols.openai_responses.upstream_item import (
    NOWHERE,
    ItemText,
    Key,
    Kind,
    ReplyItem,
    StreamedText,
    arguments_of,
    can_be_same,
    kind_of,
    objects,
    output_index,
    part_of,
    parts_of,
    text_index,
    word,
)
from tailrace.protocols.upstream import NO_ARGUMENTS, SseReplyDecoder

DIALECT = "responses"
ENDS = ("response.completed", "response.incomplete", "response.done")
MAX_COMPARISONS = 64
"""The number of items of a stream whose content is compared with an item of the final response."""
_RUN = ("response.created", "response.queued", "response.in_progress")

_DELTAS: Mapping[str, tuple[Kind, str]] = {
    "response.output_text.delta": ("message", "text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_text.delta": ("reasoning", "reasoning"),
    "response.reasoning.delta": ("reasoning", "reasoning"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.reasoning_summary.delta": ("reasoning", "summary"),
    "response.function_call_arguments.delta": ("tool_call", "arguments"),
    "response.custom_tool_call_input.delta": ("tool_call", "arguments"),
}
"""By the type of an event: the kind of the item whose text it continues, and the kind of the text; names
without `_text` are those of Open Responses."""
_WHOLES: Mapping[str, tuple[Kind, str, str]] = {
    "output_text.done": ("message", "text", "text"),
    "refusal.done": ("message", "refusal", "refusal"),
    "reasoning_text.done": ("reasoning", "reasoning", "text"),
    "reasoning.done": ("reasoning", "reasoning", "text"),
    "reasoning_summary_text.done": ("reasoning", "summary", "text"),
    "reasoning_summary.done": ("reasoning", "summary", "text"),
    "function_call_arguments.done": ("tool_call", "arguments", "arguments"),
    "custom_tool_call_input.done": ("tool_call", "arguments", "input"),
}
"""By the name of an event: the kind of the item whose text it completes, the kind of the text, and the field
that holds it."""
_PARTS: Mapping[str, tuple[Kind | None, str]] = {
    "content_part.added": (None, "content"),
    "content_part.done": (None, "content"),
    "reasoning_summary_part.added": ("reasoning", "summary"),
    "reasoning_summary_part.done": ("reasoning", "summary"),
}
_decode = msgspec.json.Decoder(dict[str, Json]).decode
_PLACE = frozenset({"type", "item_id", "output_index", "sequence_number", "obfuscation"})


class ResponsesDecoder(SseReplyDecoder):
    """Decodes one reply of a Responses server."""

    dialect = DIALECT

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._all: list[ReplyItem] = []
        self._going: dict[ReplyItem, None] = {}
        self._by_id: dict[str, ReplyItem] = {}
        self._by_call: dict[str, ReplyItem] = {}
        self._by_index: dict[int, ReplyItem] = {}

    def _event(self, event: SseEvent) -> None:
        data = _decode(event.data)
        kind = word(data.get("type")) or event.event
        if kind in _DELTAS:
            self._on_delta(_DELTAS[kind], data)
        else:
            self._other(kind, data)

    def _end_without_final_event(self) -> None:
        if self._has_done_mark and self._all and all(item.done for item in self._all):
            self._end({})  # the reply has ended, only the final event is missing
        else:
            super()._end_without_final_event()

    def _raise_reported(self, error: Object) -> None:
        """Raises the error with the `code` and `param` that the server sent."""
        if end.is_failure("", error):
            raise end.failure(error)
        super()._raise_reported(error)

    def _other(self, kind: str, data: Object) -> None:
        name = kind.removeprefix("response.")
        match kind:
            case _ if end.is_failure(kind, data):
                self.failure = end.failure(data)
            case _ if kind in ENDS or data.get("object") == "response":
                response = any_object(data.get("response")) or data
                cut = {"status": "incomplete"} if kind == "response.incomplete" else {}
                self._end({**cut, **response})
            case "response.output_item.added":
                self._on_item_added(data)
            case "response.output_item.done":
                self._on_item_done(data)
            case _ if name in _WHOLES:
                self._on_text_done(*_WHOLES[name], data)
            case _ if name in _PARTS:
                self._on_part(*_PARTS[name], data)
            case _ if name == "output_text.annotation.added":
                self._on_annotation(data)
            case _ if kind not in _RUN:
                self._on_provider_event(name, data)
            case _:
                pass  # these events only repeat the request

    # finding the item of an event

    def _find(self, data: Object, kind: Kind | None) -> ReplyItem | None:
        """The open item that an event refers to. If none is found, a new item of `kind` begins, unless it is
        a call; otherwise None."""
        by_id = self._by_id.get(word(data.get("item_id")))
        if by_id is not None and kind in (None, by_id.kind):
            return None if by_id.closed else by_id
        index = output_index(data)
        by_index = self._by_index.get(index)
        if by_index is not None and not by_index.done and kind in (None, by_index.kind):
            return by_index
        if kind is None:
            return None
        going = [item for item in self._going if item.kind == kind]
        if going and (index == NOWHERE or by_id is not None):
            return going[-1]
        if kind == "tool_call":  # the tool's name is only in the finished item
            return None
        item = self._by_index[index] = self._new({"type": kind, "id": data.get("item_id")})
        return item

    def _new(self, fields: Object) -> ReplyItem:
        item = ReplyItem(fields)
        self._all.append(item)
        self._going[item] = None
        if item.id:
            self._by_id[item.id] = item
        if item.call_id:
            self._by_call[item.call_id] = item
        return item

    def _on_item_added(self, data: Object) -> None:
        fields = any_object(data.get("item"))
        if not word(fields.get("type")):
            return
        index = output_index(data)
        index = len(self._all) if index == NOWHERE else index
        by_id = self._by_id.get(word(fields.get("id")))
        if by_id is not None and not by_id.done and by_id.kind == kind_of(fields):
            self._by_index[index] = by_id  # repeated, or its text began it
            return
        by_index = self._by_index.get(index)
        if by_index is not None and not by_index.done and not (by_index.id and fields.get("id")):
            if (
                not by_index.texts
                and can_be_same(by_index, fields)
                and not by_index.is_other_call(fields)
            ):
                return
            self._finish_item(by_index, {})
        item = self._by_index[index] = self._new(fields)
        if item.kind != "tool_call" or item.fields.get("name"):
            self._start(item)

    def _on_item_done(self, data: Object) -> None:
        fields = any_object(data.get("item"))
        if not word(fields.get("type")):
            return
        candidates = self._find_by_names(fields)
        item = next((item for item in candidates if not item.closed), None)
        if item is None and any(item.fields == {**item.fields, **fields} for item in candidates):
            return  # repeated
        item = item or self._find_by_place(fields, output_index(data)) or self._new(fields)
        self._finish_item(item, fields)

    def _find_by_place(self, fields: Object, index: int) -> ReplyItem | None:
        """The open item that has the index of a finished one, or without an index fits its content; for items
        that no id identifies."""
        by_index = self._by_index.get(index)
        going = [] if by_index is None else [by_index]
        if index == NOWHERE:
            going = [item for item in self._going if can_be_same(item, fields)]
        fit = (i for i in going if i.kind == kind_of(fields) and not i.done)
        return next((item for item in fit if not item.is_other_call(fields)), None)

    # the content of an item

    def _on_delta(self, about: tuple[Kind, str], data: Object) -> None:
        kind, what = about
        item = self._find(data, kind)
        text = data.get("delta")
        if item is None or not isinstance(text, str):
            return
        key = (what, text_index(what, data))
        self._say(item, key, text, objects(data.get("logprobs")))

    def _on_text_done(self, kind: Kind, what: str, field: str, data: Object) -> None:
        text = data.get(field)
        item = self._find(data, kind)
        if item is None or not isinstance(text, str):
            return
        if kind == "tool_call" and not item.fields.get("name") and data.get("name"):
            item.fields = {**item.fields, "name": data["name"]}
        key = (what, text_index(what, data))
        part = {"text": text, "logprobs": data.get("logprobs")}
        self._rest(item, [ItemText(key, text, part)])

    def _on_part(self, kind: Kind | None, field: str, data: Object) -> None:
        n = text_index("summary" if field == "summary" else "", data)
        part = part_of(any_object(data.get("part")), n, field)
        if part is None or not part.text:
            return
        item = self._find(data, kind or ("reasoning" if part.key[0] == "reasoning" else "message"))
        if item is not None:
            self._rest(item, [part])

    def _on_annotation(self, data: Object) -> None:
        item = self._find(data, "message")
        annotation = any_object(data.get("annotation"))
        if item is not None and annotation:
            self._cite(item, ("text", text_index("text", data)), annotation)

    def _on_provider_event(self, name: str, data: Object) -> None:
        """Pass on any other event, if it refers to a provider item."""
        item = self._find(data, None)
        if item is None or item.kind != "provider" or item.number is None:
            return
        form = FORMS.get(word(item.fields.get("type")))
        if form is not None and name in form.opening:
            return  # the encoder emits it when the item begins
        more = {key: value for key, value in data.items() if key not in _PLACE}
        self._emit(t.ProviderEvent(item.number, name, more))

    def _rest(self, item: ReplyItem, parts: list[ItemText], *, all_of_it: bool = False) -> None:
        """Emit the remainder of these texts that has not been emitted."""
        for part, more in item.rest(parts, all_of_it=all_of_it):
            text = item.texts.get(part.key)
            logprobs = [] if text is not None and text.logprobs else part.logprobs
            if more or logprobs or (text is None and len(parts) > 1):
                self._say(item, part.key, more, logprobs)
            text = item.texts.get(part.key)
            for annotation in part.annotations[text.annotations if text is not None else 0 :]:
                self._cite(item, part.key, annotation)

    def _say(self, item: ReplyItem, key: Key, text: str, logprobs: list[Object]) -> None:
        text_so_far = item.texts.setdefault(key, StreamedText())
        text_so_far.logprobs = text_so_far.logprobs or bool(logprobs)
        if item.kind == "tool_call" and not (item.number is not None or item.fields.get("name")):
            text_so_far.pieces.append(text)  # emitted when the name is known
            return
        number = self._start(item)
        text_so_far.pieces.append(text)
        match key[0]:
            case "text":
                self._emit(t.TextDelta(number, text, item.part(key), tuple(logprobs)))
            case "refusal":
                self._emit(t.RefusalDelta(number, text, item.part(key)))
            case "reasoning":
                self._emit(t.ReasoningDelta(number, text, item.part(key)))
            case "summary":
                self._emit(t.ReasoningSummaryDelta(number, text, item.part(key)))
            case _:
                self._emit(t.ArgumentsDelta(number, text))

    def _cite(self, item: ReplyItem, key: Key, annotation: Object) -> None:
        item.texts.setdefault(key, StreamedText()).annotations += 1
        number = self._start(item)
        self._emit(t.AnnotationAdded(number, annotation, item.part(key)))

    # the start and the end of an item

    def _start(self, item: ReplyItem) -> int:
        """Start an item if it has not started; returns its canonical ordinal."""
        if item.number is not None:
            return item.number
        fields = item.fields
        if item.kind == "message":
            item.number = self._open("message", phase=word(fields.get("phase")))
        elif item.kind == "reasoning":
            item.number = self._open("reasoning")
        elif item.kind == "provider":
            item.number = self._open("provider", dialect=DIALECT, data=fields)
        else:
            number = item.number = next(self._items)
            started = t.ItemStarted(
                number,
                "tool_call",
                name=word(fields.get("name")),
                call_id=item.call_id or item.id,
                custom=fields.get("type") == "custom_tool_call",
                details=end.details(item.kind, fields, {}),
            )
            self._emit(started)
            if arguments := item.text_of_kind("arguments"):
                self._emit(t.ArgumentsDelta(number, arguments))
        return item.number

    def _finish_item(self, item: ReplyItem, fields: Object, status: Status = "completed") -> None:
        """Finish an item with its final fields, from the server or from an early end. An item without usable
        content stays open until the final response."""
        item.done = True
        self._going.pop(item, None)
        item.fields = {**item.fields, **fields}
        if item.kind == "tool_call":
            arguments = ItemText(("arguments", 0), arguments_of(item.fields), {})
            self._rest(item, [arguments], all_of_it=True)
        elif item.kind != "provider":
            self._rest(item, parts_of(item.fields), all_of_it=True)
        number = self._start(item)
        if fields.get("status") == "incomplete":
            status = "incomplete"
        if item.is_useless() and status == "completed" and not self.done:
            return
        if item.lacks_arguments() and status == "completed":
            self._say(item, ("arguments", 0), NO_ARGUMENTS, [])
        item.closed = True
        if item.kind == "provider":
            self._finish(number, content=ProviderItem(dialect=DIALECT, data=item.fields))
        else:
            details = end.details(item.kind, item.fields, item.ordinals)
            self._emit(t.ItemCompleted(number, status, details=details))

    def _end(self, response: Object) -> None:
        if end.is_failed(response):
            self.failure = end.failure({"response": response})
            return
        self.done = True
        last = self._match([each for each in objects(response.get("output")) if each.get("type")])
        cut: Status = "incomplete" if response.get("status") == "incomplete" else "completed"
        for item in self._all:
            if not item.closed:
                status = "completed" if item.done or item in last else cut
                self._finish_item(item, last.get(item, {}), status)
        calls = any(item.kind == "tool_call" for item in self._all)
        self._emit(end.usage(self._model, response, calls=calls))

    def _match(self, output: list[Object]) -> dict[ReplyItem, Object]:
        """The final response's items, by the item of the stream that has their id or content. An item that
        matches none is new."""
        pairs: dict[ReplyItem, Object] = {}
        for surely in (True, False):
            left: list[Object] = []
            for fields in output:
                alike = (
                    i for i in self._find_by_names(fields) if not surely or can_be_same(i, fields)
                )
                item = next((item for item in alike if item not in pairs), None)
                if item is None:
                    left.append(fields)
                else:
                    pairs[item] = fields
            output = left
        free = [item for item in self._all if item not in pairs]
        for fields in output:
            alike = (item for item in free[:MAX_COMPARISONS] if can_be_same(item, fields))
            item = next(alike, None) or self._new(fields)
            if item in free:
                free.remove(item)
            pairs[item] = fields
        return pairs

    def _find_by_names(self, fields: Object) -> list[ReplyItem]:
        """The items that have the id of a finished item, or the id of its call."""
        items = (
            self._by_id.get(word(fields.get("id"))),
            self._by_call.get(word(fields.get("call_id"))),
        )
        return [item for item in items if item is not None and item.kind == kind_of(fields)]
