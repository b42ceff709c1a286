"""The caller of a run in texts of the configuration: `{caller.user}`, `{headers.x-shop}` and their like in
the instructions of an agent and in the headers for an MCP server.

`caller` is what this server authenticated, so a client cannot forge it; `headers`, `metadata` and `fields`
are the client's own. A value that a request does not have is the empty text. Other braces stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import cast

import msgspec

from tailrace.events.items import Json
from tailrace.events.request import RunCaller, RunRequest

VARIABLE = re.compile(r"\{(caller|headers|metadata|fields)\.([A-Za-z0-9_.:/-]+)\}")
CLAIMS = "claims."


def fill(text: str, request: RunRequest) -> str:
    """The text with the values of a request."""
    if "{" not in text:
        return text
    return VARIABLE.sub(lambda match: _text(_value(match[1], match[2], request)), text)


def fault(text: str, headers: Collection[str]) -> str:
    """Why the variables of a text can never have a value, or `""`. `headers` are those that runs keep."""
    for group, name in VARIABLE.findall(text):
        if group == "caller" and not (name in _NAMES or name.startswith(CLAIMS)):
            return f"{{caller.{name}}} does not exist; known: {', '.join(_NAMES)}, claims.NAME"
        if group == "headers" and name.lower() not in headers:
            return f"{{headers.{name}}} needs {name.lower()!r} in [server] run_headers"
    return ""


_NAMES = tuple(name for name in RunCaller.__struct_fields__ if name != "claims")


def _value(group: str, name: str, request: RunRequest) -> Json:
    match group:
        case "caller" if name.startswith(CLAIMS):
            return request.caller.claims.get(name.removeprefix(CLAIMS))
        case "caller":
            return getattr(request.caller, name, None) if name in _NAMES else None
        case "headers":
            return request.headers.get(name.lower())
        case "metadata":
            return request.metadata.get(name)
        case _:
            return request.fields.get(name)


def _text(value: Json) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list | tuple):
        return " ".join(_text(each) for each in cast("Sequence[Json]", value))
    return msgspec.json.encode(value).decode()
