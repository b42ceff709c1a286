"""Records as bytes: the version of their format, and the upgrade of older ones.

A record is a JSON object with its version as `v`; one without it is of version 1, from before there were
versions. A field that is added with a default needs no new version; anything else does, and a step in
`upgrades`. A version that is newer than this program knows is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec

from tailrace.errors import Unreadable

Value = TypeVar("Value")
Upgrades = Mapping[int, Callable[[Any], Any]]
"""From version n to n + 1: a function of the JSON without its `v`."""

_RUBBISH = (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError)
"""The exceptions that decoders and upgrades raise for invalid data."""


class Shape(Generic[Value]):
    """The format of one kind of record. `name` is its name for people."""

    def __init__(
        self, name: str, type: type[Value], *, version: int = 1, upgrades: Upgrades | None = None
    ) -> None:
        self.name = name
        self._type = type
        self._version = version
        self._upgrades = upgrades or {}

    def encode(self, value: Value) -> bytes:
        """The record in the newest format."""
        body = msgspec.json.encode(value)
        between = b"," if len(body) > len(b"{}") else b""
        return b'{"v":%d%b%b' % (self._version, between, body[1:])

    def decode(self, value: bytes) -> Value:
        """The content of a record of any version. Raises `Unreadable`."""
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
    """The version, and the other fields. Records of version 1 need not be objects."""
    if not isinstance(entry, dict):
        return 1, entry
    fields = cast("dict[str, Any]", entry)
    version = fields.pop("v", 1)
    if not isinstance(version, int):
        raise msgspec.ValidationError("its version is not a number")
    return version, fields


ENTRY = 1
"""The version of the data of runtimes."""


def pack_entry(entry: Any) -> bytes:
    """A runtime's data besides a run's log, as MessagePack: they may contain bytes."""
    return msgspec.msgpack.encode((ENTRY, entry))


def unpack_entry(value: bytes) -> Any:
    """Decode such data. Entries without a version begin with their kind, a text. Raises `Unreadable`."""
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
