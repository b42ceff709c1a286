"""One item of a Responses server's reply while it comes: how much of it has been said already.

Servers differ in when they say things: piece by piece, a part at once when it is done, all in the finished
item or in the final response only, or several of these. So each text is compared with what was said of it
before, and only what is more is said (`rest`). What the end contradicts stays as it was said first: a frame
that was seen cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object

Kind: TypeAlias = Literal["message", "reasoning", "tool_call", "provider"]
Key: TypeAlias = tuple[str, int]
"""A text of an item: what it is (`text`, `refusal`, `reasoning`, `summary`, `arguments`), and the server's
ordinal of it."""

NOWHERE = -1
"""The place of an item whose event names none."""

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
"""By the type of a part: what it is, and the field that holds its text."""


class StreamedText:
    """A text, as far as it has been said."""

    __slots__ = ("annotations", "logprobs", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.annotations = 0
        self.logprobs = False

    def text(self) -> str:
        """All of it so far."""
        return "".join(self.pieces)


class ItemText:
    """A text of a finished item, with what else its part says."""

    __slots__ = ("annotations", "key", "logprobs", "text")

    def __init__(self, key: Key, text: str, part: Object) -> None:
        self.key = key
        self.text = text
        self.annotations = [a for a in objects(part.get("annotations")) if a]
        self.logprobs = objects(part.get("logprobs"))


class ReplyItem:
    """An item: what the server says it is, and what of it was said.

    `number` is our ordinal, None before it begins; `done` that the server said its last word of it.
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
        """The id of the call that the item is, or `""`."""
        return word(self.fields.get("call_id"))

    def is_other_call(self, fields: Object) -> bool:
        """Whether it is another call than this one."""
        other = word(fields.get("call_id"))
        return bool(self.call_id and other and self.call_id != other)

    def is_useless(self) -> bool:
        """Whether it says nothing that can be used: a call without arguments that can be read, a message
        without words."""
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
        """Whether it is a function's call, and nothing was said of what with."""
        function = self.kind == "tool_call" and self.fields.get("type") != "custom_tool_call"
        return function and not self.text_of_kind("arguments").strip()

    def part(self, key: Key) -> int:
        """Our ordinal for the next piece of a text. Parts follow each other: a text that continues after
        another one began does so in a part of its own."""
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
        """Each of these texts, with as much as has not been said; `all_of_it`: the item has no others."""
        for kind in {part.key[0]: None for part in parts}:
            some = [part for part in parts if part.key[0] == kind]
            text, whole = self.text_of_kind(kind), "".join(part.text for part in some)
            if all_of_it and text == whole:
                yield from ((part, "") for part in some)
            elif self._begins(some, all_of_it=all_of_it):
                yield from (
                    (part, part.text[len(self._streamed_text(part.key)) :]) for part in some
                )
            elif all_of_it and whole.startswith(text):  # the server counts its parts in two ways
                yield some[-1], whole[len(text) :]

    def _begins(self, parts: list[ItemText], *, all_of_it: bool) -> bool:
        """Whether what was said under each ordinal of the server is how the part of that ordinal begins."""
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
    """What a call is called with; some servers send the object itself."""
    value = item.get("input" if item.get("type") == "custom_tool_call" else "arguments")
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def kind_of(fields: Object) -> Kind:
    """What an item is to us."""
    return KINDS.get(word(fields.get("type")), "provider")


def can_be_same(one: ReplyItem, item: Object) -> bool:
    """Whether an item of the final response, that no id names, can be one that came in the stream."""
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
    """The server's ordinal of the text that an event is about, 0 where it says none."""
    if what == "arguments":
        return 0
    return _whole_number(data.get("summary_index" if what == "summary" else "content_index"))


def output_index(data: Object) -> int:
    """The place of the item that an event is about, `NOWHERE` where it says none."""
    return _whole_number(data.get("output_index"), NOWHERE)


def word(value: Json) -> str:
    """A string, of what may be anything."""
    return value if isinstance(value, str) else ""


def objects(value: Json) -> list[Object]:
    """The objects of a list, of what may be anything."""
    return (
        [any_object(entry) for entry in cast("list[Json]", value)]
        if isinstance(value, list)
        else []
    )


def _whole_number(value: Json, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
