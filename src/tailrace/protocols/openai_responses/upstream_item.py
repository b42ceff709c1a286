"""One item of a Responses server's reply while it is streamed: how much of it has been emitted.

Servers differ in when they send content: piece by piece, a whole part when it is done, only in the finished
item or in the final response, or in several of these ways. Therefore each text is compared with the text
emitted so far, and only the remainder is emitted (`rest`). If the end contradicts emitted text, the emitted
text stays: a frame that a client has received cannot be withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object

Kind: TypeAlias = Literal["message", "reasoning", "tool_call", "provider"]
Key: TypeAlias = tuple[str, int]
"""A text of an item: its kind (`text`, `refusal`, `reasoning`, `summary`, `arguments`), and the server's
ordinal of it."""

NOWHERE = -1
"""The index of an item whose event has none."""

CALLS = ("function_call", "custom_tool_call")
KINDS: Mapping[str, Kind] = {
    "message": "message",
    "reasoning": "reasoning",
    **dict.fromkeys(CALLS, "tool_call"),
}
_PARTS = {
    "output_text": ("text", "text"),
    "text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("reasoning", "text"),
    "summary_text": ("summary", "text"),
}
"""By the type of a part: the kind of its text, and the field that holds the text."""


class StreamedText:
    """A text as it has been emitted so far."""

    __slots__ = ("annotations", "logprobs", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.annotations = 0
        self.logprobs = False

    def text(self) -> str:
        """The whole text so far."""
        return "".join(self.pieces)


class ItemText:
    """A text of a finished item, with the annotations and log probabilities of its part."""

    __slots__ = ("annotations", "key", "logprobs", "text")

    def __init__(self, key: Key, text: str, part: Object) -> None:
        self.key = key
        self.text = text
        self.annotations = [a for a in objects(part.get("annotations")) if a]
        self.logprobs = objects(part.get("logprobs"))


class ReplyItem:
    """An item: the fields that the server sent, and the texts that were emitted.

    `number` is the canonical ordinal, None before the item is started; `done`: the server has sent the
    finished item.
    """

    def __init__(self, item: Object) -> None:
        self.kind: Kind = kind_of(item)
        self.fields = item
        self.number: int | None = None
        self.done = False
        self.closed = False
        self.texts: dict[Key, StreamedText] = {}
        self.ordinals: dict[Key, int] = {}
        self._current: dict[str, Key] = {}
        self._next: dict[str, int] = {}
        self._ordinal: dict[str, int] = {}

    @property
    def id(self) -> str:
        """The server's id of the item, or `""`."""
        return word(self.fields.get("id"))

    @property
    def call_id(self) -> str:
        """The id of the call if the item is one, or `""`."""
        return word(self.fields.get("call_id"))

    def is_other_call(self, fields: Object) -> bool:
        """Whether `fields` have the id of a different call."""
        other = word(fields.get("call_id"))
        return bool(self.call_id and other and self.call_id != other)

    def is_useless(self) -> bool:
        """Whether the item has no usable content: a function call whose arguments are not valid JSON, a
        custom call without input, a message without text."""
        if self.kind != "tool_call":
            words = any(each.text() for each in self.texts.values())
            return self.kind == "message" and not words
        arguments = self.text_of_kind("arguments")
        if self.fields.get("type") == "custom_tool_call":
            return not arguments
        try:
            msgspec.json.decode(arguments)
        except msgspec.DecodeError:
            return True
        return False

    def lacks_arguments(self) -> bool:
        """Whether it is a function call for which the server has sent no arguments."""
        function = self.kind == "tool_call" and self.fields.get("type") != "custom_tool_call"
        return function and not self.text_of_kind("arguments").strip()

    def part(self, key: Key) -> int:
        """The canonical ordinal of the next piece of a text. Parts are sequential: a text that continues
        after another text began gets a new part."""
        group = "summary" if key[0] == "summary" else "content"
        if self._current.get(group) != key:
            self._current[group] = key
            self._ordinal[group] = self._next.get(group, 0)
            self._next[group] = self._ordinal[group] + 1
            self.ordinals[key] = self._ordinal[group]
        return self._ordinal[group]

    def text_of_kind(self, kind: str) -> str:
        """All texts of a kind, in the server's order."""
        return "".join(self.texts[key].text() for key in sorted(self.texts) if key[0] == kind)

    def rest(self, parts: list[ItemText], *, all_of_it: bool) -> Iterator[tuple[ItemText, str]]:
        """Each of these texts with the remainder that has not been emitted; `all_of_it`: the item has no
        other texts."""
        for kind in {part.key[0]: None for part in parts}:
            some = [part for part in parts if part.key[0] == kind]
            text, whole = self.text_of_kind(kind), "".join(part.text for part in some)
            if all_of_it and text == whole:
                yield from ((part, "") for part in some)
            elif self._begins(some, all_of_it=all_of_it):
                yield from (
                    (part, part.text[len(self._streamed_text(part.key)) :]) for part in some
                )
            elif all_of_it and whole.startswith(text):  # the server numbers its parts in two ways
                yield some[-1], whole[len(text) :]

    def _begins(self, parts: list[ItemText], *, all_of_it: bool) -> bool:
        """Whether the text emitted under each of the server's ordinals is a prefix of the part with that
        ordinal."""
        texts = {part.key: part.text for part in parts}
        kind = parts[0].key[0]
        keys = {key for key in self.texts if key[0] == kind and (all_of_it or key in texts)}
        return all(texts.get(key, "").startswith(self._streamed_text(key)) for key in keys)

    def _streamed_text(self, key: Key) -> str:
        return self.texts[key].text() if key in self.texts else ""


def parts_of(item: Object) -> list[ItemText]:
    """The texts of a finished item, in order."""
    texts: list[ItemText] = []
    for field in ("summary", "content"):
        value = item.get(field)
        if isinstance(value, str):
            kind = "text" if item.get("type") == "message" else "reasoning"
            value = [{"type": "output_text" if kind == "text" else "reasoning_text", "text": value}]
        for n, part in enumerate(objects(value)):
            if (text := part_of(part, n, field)) is not None:
                texts.append(text)
    return texts


def part_of(part: Object, n: int, field: str = "content") -> ItemText | None:
    """The text of a part; None for a part of another type."""
    kind, name = _PARTS.get(str(part.get("type")), ("", ""))
    if field == "summary":
        kind, name = "summary", "text"
    text = part.get(name)
    return ItemText((kind, n), text, part) if kind and isinstance(text, str) else None


def arguments_of(item: Object) -> str:
    """The arguments of a call as text; some servers send the object itself."""
    value = item.get("input" if item.get("type") == "custom_tool_call" else "arguments")
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def kind_of(fields: Object) -> Kind:
    """The canonical kind of an item."""
    return KINDS.get(word(fields.get("type")), "provider")


def can_be_same(one: ReplyItem, item: Object) -> bool:
    """Whether an item of the final response that no id identifies can be this item of the stream."""
    if kind_of(item) != one.kind:
        return False
    if one.kind == "provider":
        return one.fields.get("type") == item.get("type")
    texts = {"arguments": arguments_of(item)}
    if one.kind == "tool_call" and one.fields.get("name") not in (None, "", item.get("name")):
        return False
    if one.kind != "tool_call":
        kinds = ("text", "refusal", "summary", "reasoning")
        parts = parts_of(item)
        texts = {kind: "".join(p.text for p in parts if p.key[0] == kind) for kind in kinds}
    pairs = ((one.text_of_kind(kind), text) for kind, text in texts.items())
    return all(ours.startswith(theirs) or theirs.startswith(ours) for ours, theirs in pairs)


def text_index(what: str, data: Object) -> int:
    """The server's ordinal of the text that an event refers to, 0 if the event has none."""
    if what == "arguments":
        return 0
    return _whole_number(data.get("summary_index" if what == "summary" else "content_index"))


def output_index(data: Object) -> int:
    """The index of the item that an event refers to, `NOWHERE` if the event has none."""
    return _whole_number(data.get("output_index"), NOWHERE)


def word(value: Json) -> str:
    """The value if it is a string, else `""`."""
    return value if isinstance(value, str) else ""


def objects(value: Json) -> list[Object]:
    """The objects of a list; empty if the value is not a list."""
    return (
        [any_object(entry) for entry in cast("list[Json]", value)]
        if isinstance(value, list)
        else []
    )


def _whole_number(value: Json, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
