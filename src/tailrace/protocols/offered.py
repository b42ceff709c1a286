"""Tools under other names and forms than the client's, for servers that have only functions.

A namespace's function is offered as `namespace__name`, a custom tool, whose input is free text, as a function
with one string `input`. `Calls` turns what the server then calls back into the client's own tool, so that
nobody beyond the request knows of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from tailrace.events import types as t
from tailrace.events.items import Json, ToolCall
from tailrace.protocols.fields import any_object

LONGEST_NAME = 64
INPUT: Mapping[str, Json] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""The parameters of a custom tool that is offered as a function."""


class Offered(Struct, frozen=True):
    """What a function's name stands for: the tool's own `name`, in a `namespace`, or `custom`."""

    name: str
    namespace: str = ""
    custom: bool = False


def joined(namespace: str, name: str) -> str:
    """The one name of a namespace's function; a long one ends in a digest, so that no two are alike."""
    whole = f"{namespace}__{name}" if namespace else name
    if len(whole) <= LONGEST_NAME or not namespace:
        return whole
    return f"{whole[: LONGEST_NAME - 9]}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def called(call: ToolCall) -> str:
    """The name by which the tool of a call is offered."""
    return joined(str(any_object(call.details.get("responses")).get("namespace") or ""), call.name)


class Calls:
    """One reply's calls, as the client knows their tools."""

    def __init__(self, names: Mapping[str, Offered]) -> None:
        self._names = names
        self._custom: dict[int, list[str]] = {}
        self._spaced: dict[int, str] = {}

    def told(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """The payloads with the tools' own names; a custom tool's input comes when it is whole."""
        return [made for payload in payloads for made in self._told(payload)]

    def _told(self, payload: t.Payload) -> Iterator[t.Payload]:
        if isinstance(payload, t.ItemStarted) and payload.name in self._names:
            yield self._named(payload, self._names[payload.name])
            return
        if isinstance(payload, t.ArgumentsDelta) and payload.item in self._custom:
            self._custom[payload.item].append(payload.text)
            return
        if isinstance(payload, t.ItemCompleted) and payload.item in self._custom:
            text = _input("".join(self._custom.pop(payload.item)))
            if text:
                yield t.ArgumentsDelta(payload.item, text)
        if isinstance(payload, t.ItemCompleted) and payload.item in self._spaced:
            details = _spaced(payload.details, self._spaced.pop(payload.item))
            payload = msgspec.structs.replace(payload, details=details)
        yield payload

    def _named(self, started: t.ItemStarted, tool: Offered) -> t.ItemStarted:
        if tool.custom:
            self._custom[started.item] = []
        details = started.details
        if tool.namespace:
            self._spaced[started.item] = tool.namespace
            details = _spaced(details, tool.namespace)
        return msgspec.structs.replace(started, name=tool.name, custom=tool.custom, details=details)


def _spaced(details: dict[str, Json], namespace: str) -> dict[str, Json]:
    """A call's details with its namespace, as Responses clients know it."""
    own = {**any_object(details.get("responses")), "namespace": namespace}
    return {**details, "responses": own}


def _input(arguments: str) -> str:
    """The free text in a function's arguments; all of them where there is none."""
    try:
        value = any_object(msgspec.json.decode(arguments)).get("input")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
    return value if isinstance(value, str) else arguments
