"""AG-UI messages as items: a client's copy of a thread, in the form that a model reads.

The output of subagents is left out (their answer to the main agent is the output of the call that started
them). So are activities, which are for display only, and replies that a crash interrupted and others
replaced. A call without a result in the messages was not run: models require an output for each call, so the
call gets an output that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from tailrace.errors import BadRequest
from tailrace.events.history import NOT_RUN
from tailrace.events.items import (
    Item,
    Json,
    Message,
    Part,
    Reasoning,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
    parts_of,
)
from tailrace.protocols import media
from tailrace.protocols.ag_ui.wire import KEY, STATUS_ABANDONED
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    body_object,
    objects,
    optional,
    text,
)

PLAIN_ROLES: tuple[Role, ...] = ("user", "system", "developer")
ROLES = (*PLAIN_ROLES, "assistant", "tool", "reasoning", "activity")
_KINDS: Mapping[str, str] = {
    # for a content part: its media type if it states none
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "document": "application/octet-stream",
    "binary": "application/octet-stream",
}


def decode_messages(value: Json, where: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Decode the history and the new items: those after the agent's last message, which are user messages or,
    if there are none, outputs of calls. Raises `BadRequest`."""
    entries = as_list(value, where)
    messages = [as_object(each, f"{where}[{n}]") for n, each in enumerate(entries)]
    teller = _MessageDecoder(
        {str(each.get("toolCallId")) for each in messages if each.get("role") == "tool"}
    )
    for n, message in enumerate(messages):
        teller.take(message, f"{where}[{n}]")
    return teller.finish()


def place(body: bytes, item: Item, part: Part | None) -> str:
    """The path of a part of a message in the request; `""` if the request does not contain it. On this
    surface items without a form are rejected as a whole."""
    for n, message in enumerate(objects(body_object(body).get("messages"))):
        where = f"messages[{n}]"
        if isinstance(message.get("content"), list):
            parts = _content(message, where)
            if part in parts and part in parts_of(item):
                return f"{where}.content[{parts.index(part)}]"
    return ""


class _MessageDecoder:
    """Decodes messages in order; `results` are the ids of the calls that have a result in any message."""

    def __init__(self, results: set[str]) -> None:
        self._results = results
        self._items: list[Item] = []
        self._missing_results: list[Item] = []
        self._below: set[str] = set()
        self._last = 0

    def finish(self) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
        """The messages before the last turn, and those of the last turn."""
        items, start = self._items, self._last
        places = [n for n in range(start, len(items)) if isinstance(items[n], Message)]
        start = places[0] if places else start
        old, new = items[:start], items[start:]
        (new if new else old).extend(self._missing_results)
        return tuple(old), tuple(new)

    def take(self, message: Object, where: str) -> None:
        role = message.get("role")
        if role not in ROLES:
            raise BadRequest(
                f"{where}.role must be one of {', '.join(ROLES)}, not {role!r}.",
                param=f"{where}.role",
            )
        below = optional(message, "subagentRunId", str, default="", where=where) != ""
        below = below or _message_fields(message).get("status") == STATUS_ABANDONED
        if role == "assistant":
            self._assistant(message, where, below=below)
        elif role == "tool":
            self._output(message, where, below=below)
        elif role in PLAIN_ROLES:
            self._flush()
            name = optional(message, "name", str, default="", where=where)
            content = _content(message, where)
            self._items.append(Message(role=role, content=content, name=name))
        elif role == "reasoning" and not below:
            self._spoke(Reasoning(summary=(text(message, "content", where),)))

    def _flush(self) -> None:
        self._items += self._missing_results
        self._missing_results = []

    def _spoke(self, item: Item) -> None:
        """Add an item of the agent's output."""
        self._flush()
        self._items.append(item)
        self._last = len(self._items)

    def _assistant(self, message: Object, where: str, *, below: bool) -> None:
        words = optional(message, "content", str, default="", where=where)
        calls = [
            _call(as_object(each, f"{where}.toolCalls[{n}]"), f"{where}.toolCalls[{n}]")
            for n, each in enumerate(as_list(message.get("toolCalls") or [], f"{where}.toolCalls"))
        ]
        if below:
            self._below.update(call.call_id for call in calls)
            return
        if words:
            self._spoke(Message(role="assistant", content=(TextPart(words),)))
        for n, call in enumerate(calls):
            if n == 0 and not words:
                self._flush()
            self._items.append(call)
            self._last = len(self._items)
            if call.call_id not in self._results:
                parts = (TextPart(NOT_RUN),)
                self._missing_results.append(
                    ToolOutput(call_id=call.call_id, output=parts, is_error=True)
                )

    def _output(self, message: Object, where: str, *, below: bool) -> None:
        id = text(message, "toolCallId", where)
        content = _content(message, where)
        error = optional(message, "error", str, default="", where=where)
        failed = _message_fields(message).get("isError") is True
        if error and not any(isinstance(part, TextPart) and part.text for part in content):
            content = (TextPart(error),)
        if not below and id not in self._below:
            failed = failed or error != ""
            self._items.append(ToolOutput(call_id=id, output=content, is_error=failed))


def _message_fields(message: Object) -> Object:
    """tailrace's metadata of a message, for which the protocol has no field."""
    return any_object(any_object(message.get("metadata")).get(KEY))


def _call(fields: Object, where: str) -> ToolCall:
    function, place = as_object(fields.get("function"), f"{where}.function"), f"{where}.function"
    name, arguments = text(function, "name", place), text(function, "arguments", place)
    return ToolCall(call_id=text(fields, "id", where), name=name, arguments=arguments)


def _content(message: Object, where: str) -> tuple[Part, ...]:
    content = message.get("content")
    place = f"{where}.content"
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        raise BadRequest(f"{place} must be a string or a list of parts.", param=place)
    parts = [as_object(each, f"{place}[{n}]") for n, each in enumerate(cast("list[Json]", content))]
    return tuple(_part(part, f"{place}[{n}]") for n, part in enumerate(parts))


def _part(part: Object, where: str) -> Part:
    kind = part.get("type")
    if kind == "text":
        return TextPart(text(part, "text", where))
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadRequest(f"{where} has an unknown type {kind!r}.", param=f"{where}.type")
    if kind == "binary":
        return _binary(part, where)
    source, place = as_object(part.get("source"), f"{where}.source"), f"{where}.source"
    value = text(source, "value", place)
    media_type = optional(source, "mimeType", str, default=_KINDS[kind], where=place)
    filename = any_object(part.get("metadata")).get("filename")
    name = filename if isinstance(filename, str) else ""
    match source.get("type"):
        case "data":
            return media.part_of_url(f"data:{media_type};base64,{value}", media_type, name)
        case "url":
            return media.part_of_url(value, media_type, name)
        case "file":
            return media.part_of_file(value, media_type, name)
        case other:
            raise BadRequest(f"{place} has an unknown type {other!r}.", param=f"{place}.type")


def _binary(part: Object, where: str) -> Part:
    """Decode the one type of part for all files that clients before 1.0 send."""
    kind = text(part, "mimeType", where)
    name = optional(part, "filename", str, default="", where=where)
    data = optional(part, "data", str, default="", where=where)
    url = optional(part, "url", str, default="", where=where)
    if data:
        return media.part_of_url(f"data:{kind};base64,{data}", kind, name)
    if url:
        return media.part_of_url(url, kind, name)
    return media.part_of_file(text(part, "id", where), kind, name)
