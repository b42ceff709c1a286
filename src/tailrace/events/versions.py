"""Records as bytes, and back: the version of their shape, and how an older one becomes today's.

A record is a JSON object with its version as `v`; what has none is of version 1, which is all that was
written before there were versions. A field that is added with a default needs no new version; anything else
does, and a step in `upgrades`. A version that is newer than this program knows is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from tailrace.errors import Unreadable

Value = TypeVar("Value")
Upgrades = Mapping[int, Callable[[Any], Any]]
"""From version n to n + 1: a function from what the JSON says without its `v`."""

_RUBBISH = (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError)
"""The exceptions that decoders and upgrades raise for invalid data."""


class Shape(Generic[Value]):
    """How one kind of record is written. `name` is what people call it."""

    def __init__(
        self, name: str, type: type[Value], *, version: int = 1, upgrades: Upgrades | None = None
    ) -> None:
        self.name = name
        self._type = type
        self._version = version
        self._upgrades = upgrades or {}

    def encode(self, value: Value) -> bytes:
        """The record as it is kept today."""
        body = msgspec.json.encode(value)
        between = b"," if len(body) > len(b"{}") else b""
        return b'{"v":%d%b%b' % (self._version, between, body[1:])

    def decode(self, value: bytes) -> Value:
        """What a record says, whichever version wrote it. Raises `Unreadable`."""
        try:
            version, content = _open(msgspec.json.decode(value))
            self._must_be_known(version)
            for number in range(version, self._version):
                content = self._upgrades[number](content)
            return msgspec.convert(content, self._type)
        except _RUBBISH as error:
            raise Unreadable(f"A record ({self.name}) cannot be read: {error}") from error

    def _must_be_known(self, version: int) -> None:
        if version > self._version:
            raise Unreadable(
                f"A record ({self.name}) was written by a newer tailrace "
                f"(its version is {version}; this one reads up to {self._version})."
            )
        missing = set(range(max(version, 0), self._version)) - self._upgrades.keys()
        if missing or version < 1:
            raise Unreadable(f"A record ({self.name}) of version {version} cannot be read.")


def _open(entry: Any) -> tuple[int, Any]:
    """The version, and the rest. Records of version 1 need not be objects."""
    if not isinstance(entry, dict):
        return 1, entry
    fields = cast("dict[str, Any]", entry)
    version = fields.pop("v", 1)
    if not isinstance(version, int):
        raise msgspec.ValidationError("its version is not a number")
    return version, fields


ENTRY = 1
"""The version of what runtimes keep of their runs."""


def pack_entry(entry: Any) -> bytes:
    """What a runtime keeps besides a run's log, as MessagePack: it may hold bytes."""
    return msgspec.msgpack.encode((ENTRY, entry))


def unpack_entry(value: bytes) -> Any:
    """The same again. Entries without a version begin with their kind, a text. Raises `Unreadable`."""
    try:
        content = msgspec.msgpack.decode(value)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"A run's stored state cannot be read: {error}") from error
    if not isinstance(content, list) or not content or not isinstance(content[0], int):
        return cast("Any", content)
    version, entry = cast("list[Any]", content)
    if version > ENTRY:
        raise Unreadable(f"A run's stored state was written by a newer tailrace ({version}).")
    return entry
