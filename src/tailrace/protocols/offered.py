"""Tools under names and forms other than the client's, for servers that have only functions.

Servers accept names of 64 letters, digits, `_` and `-`. A server of the client's dialect gets the client's
own names. Any other server gets names that every server accepts: a namespace's function as
`namespace__name`, other characters as `_`; a name that was altered or is too long ends in a digest of the
original, so that a tool has the same name in every request and no two names are equal. A custom tool, whose
input is free text, is a function with one string `input`. `OfferedCalls` turns the server's calls back into
calls of the client's own tools, so no other code sees these names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from tailrace.events import types as t
from tailrace.events.items import Json, ProviderItem, ToolCall
from tailrace.events.tools import SEARCH, ToolDeclaration, is_search
from tailrace.protocols.fields import any_object

LONGEST_NAME = 64
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
INPUT: Mapping[str, Json] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""The parameters of a custom tool that is offered as a function."""


class OfferedTools(Struct, frozen=True):
    """The client's tool behind a function's name: the tool's own `name`, in a `namespace`, or `custom`; or
    the search for tools that a Responses client runs."""

    name: str
    namespace: str = ""
    custom: bool = False
    search: bool = False


class Names:
    """The name of each of `tools` at a server of `dialect`; `origin` is the request's dialect."""

    def __init__(self, tools: Sequence[ToolDeclaration], dialect: str, origin: str) -> None:
        self._dialect = dialect
        self._as_said = origin == dialect
        own = [tool for tool in tools if tool.spec.origin == dialect and not tool.namespace]
        self._names = {tool.key: tool.spec.name for tool in own}
        names = set(self._names.values())
        for tool in tools:
            if tool.key not in self._names:
                self._names[tool.key] = name = _legal_name(*tool.key, names)
                names.add(name)

    def of(self, namespace: str, name: str) -> str:
        """The name of a tool; also of one that is not offered, because a conversation may still mention
        it."""
        own_name = self._names.get((namespace, name))
        if own_name is None and self._as_said and not namespace:
            return name
        return own_name or _legal_name(namespace, name)

    def of_call(self, call: ToolCall) -> str:
        """The name of the tool of a call. A call by a server of this dialect keeps its name."""
        namespace = str(any_object(call.details.get("responses")).get("namespace") or "")
        theirs = not namespace and self._dialect in call.details
        if theirs and ("", call.name) not in self._names:
            return call.name
        return self.of(namespace, call.name)

    def stands_for(self, tool: ToolDeclaration, *, as_function: bool) -> OfferedTools | None:
        """The client's tool behind an offered name; None if the server gets the tool unchanged."""
        spec, custom = tool.spec, as_function and tool.spec.kind == "custom"
        if is_search(spec):
            return OfferedTools(spec.name, search=True)
        if self.of(*tool.key) == spec.name and not tool.namespace and not custom:
            return None
        return OfferedTools(spec.name, tool.namespace, custom)


def _legal_name(namespace: str, name: str, names: Collection[str] = ()) -> str:
    """A name that servers accept."""
    whole = f"{namespace}__{name}" if namespace else name
    plain = _ODD.sub("_", whole)
    if 0 < len(whole) <= LONGEST_NAME and plain == whole and whole not in names:
        return whole
    digest = hashlib.sha256(f"{namespace}\0{name}".encode()).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - 9]}_{digest}"


class OfferedCalls:
    """The calls of one reply, translated to the client's tools."""

    def __init__(self, names: Mapping[str, OfferedTools]) -> None:
        self._names = names
        self._custom: dict[int, list[str]] = {}
        self._namespaces: dict[int, str] = {}
        self._searches: dict[int, tuple[str, list[str]]] = {}

    def convert(self, payloads: Sequence[t.Payload]) -> list[t.Payload]:
        """The payloads with the tools' own names; the input of a custom tool follows when it is complete."""
        return [output for payload in payloads for output in self._convert(payload)]

    def _convert(self, payload: t.Payload) -> Iterator[t.Payload]:
        if isinstance(payload, t.ItemStarted) and payload.name in self._names:
            yield self._start_call(payload, self._names[payload.name])
            return
        if (
            isinstance(payload, t.ArgumentsDelta | t.ItemCompleted)
            and payload.item in self._searches
        ):
            yield from self._convert_search(payload)
            return
        if isinstance(payload, t.ArgumentsDelta) and payload.item in self._custom:
            self._custom[payload.item].append(payload.text)
            return
        if isinstance(payload, t.ItemCompleted) and payload.item in self._custom:
            text = _input("".join(self._custom.pop(payload.item)))
            if text:
                yield t.ArgumentsDelta(payload.item, text)
        if isinstance(payload, t.ItemCompleted) and payload.item in self._namespaces:
            details = _with_namespace(payload.details, self._namespaces.pop(payload.item))
            payload = msgspec.structs.replace(payload, details=details)
        yield payload

    def _convert_search(self, payload: t.ArgumentsDelta | t.ItemCompleted) -> Iterator[t.Payload]:
        """A search is shown when it is complete."""
        call_id, pieces = self._searches[payload.item]
        if isinstance(payload, t.ArgumentsDelta):
            pieces.append(payload.text)
            return
        del self._searches[payload.item]
        data = search_item(call_id, _object("".join(pieces)), payload.status)
        item = ProviderItem(dialect="responses", data=data)
        yield t.ItemCompleted(payload.item, payload.status, item)

    def _start_call(self, start: t.ItemStarted, tool: OfferedTools) -> t.ItemStarted:
        if tool.search:
            self._searches[start.item] = start.call_id, []
            data = search_item(start.call_id, {}, "in_progress")
            return t.ItemStarted(start.item, "provider", dialect="responses", data=data)
        if tool.custom:
            self._custom[start.item] = []
        details = start.details
        if tool.namespace:
            self._namespaces[start.item] = tool.namespace
            details = _with_namespace(details, tool.namespace)
        custom = tool.custom or start.custom
        return msgspec.structs.replace(start, name=tool.name, custom=custom, details=details)


def search_item(call_id: str, arguments: Json, status: str) -> dict[str, Json]:
    """A call of the client's search for tools, in the form of Responses clients."""
    return {
        "type": f"{SEARCH}_call",
        "call_id": call_id,
        "execution": "client",
        "status": status,
        "arguments": arguments,
    }


def _object(arguments: str) -> dict[str, Json]:
    """Arguments as an object, also if the model wrote something else."""
    try:
        return any_object(msgspec.json.decode(arguments or "{}"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {"query": arguments}


def _with_namespace(details: dict[str, Json], namespace: str) -> dict[str, Json]:
    """A call's details with its namespace, in the form of Responses clients."""
    own = {**any_object(details.get("responses")), "namespace": namespace}
    return {**details, "responses": own}


def _input(arguments: str) -> str:
    """The free text in a function's arguments; all of the text if there is none."""
    try:
        value = any_object(msgspec.json.decode(arguments)).get("input")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
    return value if isinstance(value, str) else arguments
