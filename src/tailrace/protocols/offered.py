"""Tools under other names and forms than the client's, for servers that have only functions.

A namespace's function is offered as `namespace__name`, a custom tool, whose input is free text, as a function
with one string `input`. `Calls` turns what the server then calls back into the client's own tool, so that
nobody beyond the request knows of it.
"""

from __future__ import annotations

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
    """The one name of a namespace's function."""
    return f"{namespace}__{name}"[:LONGEST_NAME] if namespace else name


def called(call: ToolCall) -> str:
    """The name by which the tool of a call is offered."""
    return joined(str(any_object(call.details.get("responses")).get("namespace") or ""), call.name)


class Calls:
    """One reply's calls, as the client knows their tools."""

    def __init__(self, names: Mapping[str, Offered]) -> None:
        self._names = names
        self._custom: dict[int, list[str]] = {}

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
        yield payload

    def _named(self, started: t.ItemStarted, tool: Offered) -> t.ItemStarted:
        if tool.custom:
            self._custom[started.item] = []
        own = {**any_object(started.details.get("responses")), "namespace": tool.namespace}
        details = {**started.details, "responses": own} if tool.namespace else started.details
        return msgspec.structs.replace(started, name=tool.name, custom=tool.custom, details=details)


def _input(arguments: str) -> str:
    """The free text in a function's arguments; all of them where there is none."""
    try:
        value = any_object(msgspec.json.decode(arguments)).get("input")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
    return value if isinstance(value, str) else arguments
