"""Finds the call that a piece of a tool call belongs to. Servers number and name calls differently.

A piece has an index, an id, a name and arguments, each of which may be missing, wrong or repeated:

1. The index distinguishes calls; without an index the id does; without both, the piece continues the last
  call.
2. A new id together with a name begins a call, whatever its index. So does a name that is repeated when the
  call's arguments are a complete JSON object and further arguments follow, and a name that occurs twice in
  one chunk.
3. A call starts when a part of it has to be emitted: its first arguments, the item after it, or a failure.
  Until then its name may arrive late or in pieces; a repeated name that is complete, or longer, replaces it.
4. A complete call that the server repeats unchanged is emitted once.
5. A call without arguments has `{}`. If another call has the same id, the id is left empty.

Unknown fields of a piece (such as Gemini's `extra_content` with the signature of its reasoning) are kept,
because the server requires them back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Json
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.openai_chat import upstream_wire as wire
from tailrace.protocols.openai_chat.messages import details_of
from tailrace.protocols.upstream import NO_ARGUMENTS

_json = msgspec.json.Encoder().encode
_SIGN = re.compile(r'\\.|\\$|["{}\[\]]', re.DOTALL)
_FIELDS = frozenset({"index", "id", "type", "function", "custom"})


class _StreamedCall:
    """The state of one call; `item` is None until the call has started."""

    def __init__(self) -> None:
        self.item: int | None = None
        self.id = ""
        self.name = ""
        self.custom = False
        self.arguments: list[str] = []
        self.size = 0
        self.emitted_pieces = 0
        self.chunk = -1
        self.extra: Object = {}
        self._scanned_pieces = 0
        self._rest = ""
        self._depth = 0
        self._in_string = False
        self._is_balanced = False

    def add_arguments(self, text: str) -> None:
        """Add a piece of the arguments."""
        self.arguments.append(text)
        self.size += len(text)

    def add_name(self, piece: str) -> None:
        """Add a piece of the name, or the whole name repeated."""
        if self.item is None and piece and piece != self.name:
            self.name = piece if piece.startswith(self.name) else self.name + piece

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object; each piece is scanned once."""
        text = self._rest + "".join(self.arguments[self._scanned_pieces :])
        self._scanned_pieces = len(self.arguments)
        self._rest = ""
        for sign in _SIGN.finditer(text):
            match sign[0]:
                case "\\":
                    self._rest = sign[0]  # the escaped character is in the next piece
                case '"':
                    self._in_string = not self._in_string
                case "{" | "[" if not self._in_string:
                    self._depth += 1
                case "}" | "]" if not self._in_string:
                    self._depth -= 1
                    self._is_balanced = self._depth == 0
                case _:
                    pass
        return self._is_balanced and self._depth == 0 and not self._in_string


class StreamedCalls:
    """The tool calls of one reply, assembled from the pieces of its chunks."""

    def __init__(self, items: Iterator[int]) -> None:
        self._items = items
        self._calls: list[_StreamedCall] = []
        self._at: dict[int, _StreamedCall] = {}
        self._ids: set[str] = set()
        self._chunk = 0

    def __bool__(self) -> bool:
        return any(call.name or call.arguments for call in self._calls)

    @property
    def whole(self) -> bool:
        """Whether the arguments of every call are complete."""
        return all(call.custom or call.is_whole() or not call.size for call in self._calls)

    def add(self, pieces: list[Object]) -> Iterator[t.Payload]:
        """Add the pieces of one chunk."""
        self._chunk += 1
        for piece in pieces:
            yield from self._add(piece)

    def begin(self) -> Iterator[t.Payload]:
        """Start the calls that have a name and have not started, because another item follows."""
        for call in self._calls:
            if call.name:
                yield from self._emit_new(call)

    def end(self, message: Object) -> Iterator[t.Payload]:
        """Complete all calls; the first call keeps `message`, the fields of the whole message. Raises
        `ModelFailed` for a call that never received a name."""
        for call in self._calls:
            if not call.name:
                if call.arguments:
                    raise ModelFailed("The model server sent a call and did not say of which tool.")
                continue
            if not call.custom and not "".join(call.arguments).strip():
                call.add_arguments(NO_ARGUMENTS)
            yield from self._emit_new(call)
            assert call.item is not None
            yield t.ItemCompleted(call.item, details=details_of(call=call.extra, **message))
            message = {}

    def _add(self, piece: Object) -> Iterator[t.Payload]:
        custom = isinstance(piece.get("custom"), dict)
        body = any_object(piece.get("custom" if custom else "function"))
        field = "input" if custom else "arguments"
        name, text = wire.text(body.get("name")), _arguments(body.get(field))
        call = self._of(piece, name, text)
        if call is None:
            return
        call.chunk = self._chunk
        call.custom = call.custom or custom
        call.add_name(name)
        call.extra |= {k: v for k, v in piece.items() if k not in _FIELDS and v is not None}
        inner = {k: v for k, v in body.items() if k not in ("name", field) and v is not None}
        if inner:
            call.extra["function"] = {**any_object(call.extra.get("function")), **inner}
        if text:
            call.add_arguments(text)
            yield from self._emit_new(call) if call.item is not None else self.begin()

    def _of(self, piece: Object, name: str, text: str) -> _StreamedCall | None:
        """The call that a piece belongs to (rules 1 and 2); None if the piece only repeats it (rule 4)."""
        index, id = wire.place(piece.get("index")), wire.name(piece.get("id"))
        call = self._find(index, id, begins=bool(name) or not text)
        if call is not None and name:
            has_new_id = bool(id and call.id and id != call.id)
            bare = index is None and not id and call.name not in ("", name)
            more = bool(text.strip()) and not call.custom and call.is_whole()
            if more and id == call.id != "" and text == "".join(call.arguments):
                return None
            if has_new_id or bare or more or call.chunk == self._chunk:
                call = None
        if call is None:
            call = _StreamedCall()
            self._calls.append(call)
        if index is not None:
            self._at[index] = call
        call.id = call.id or id
        return call

    def _find(self, index: int | None, id: str, *, begins: bool) -> _StreamedCall | None:
        """The call by its index, else by its id, else the last call; None if the piece may begin a new
        call."""
        if index in self._at:
            return self._at[index]
        same = next((call for call in reversed(self._calls) if id and call.id == id), None)
        if same is not None and (index is None or not begins):
            return same
        if begins and (id or index is not None):
            return None
        return self._calls[-1] if self._calls else None

    def _emit_new(self, call: _StreamedCall) -> Iterator[t.Payload]:
        if call.item is None:
            call.item = next(self._items)
            id = "" if call.id in self._ids else call.id
            self._ids.add(id)
            yield t.ItemStarted(
                call.item, "tool_call", name=call.name, call_id=id, custom=call.custom
            )
        for text in call.arguments[call.emitted_pieces :]:
            yield t.ArgumentsDelta(call.item, text)
        call.emitted_pieces = len(call.arguments)


def _arguments(value: Json) -> str:
    """A piece of the arguments as text; some servers send the object itself."""
    if isinstance(value, str):
        return value
    return _json(value).decode() if isinstance(value, (dict, list)) and value else ""
