"""The address of an MCP server and its tools, without the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from tailrace.events.items import Json

MAX_TOOLS = 512
"""The maximum number of tools of one server; each request to a model has all of them."""

SHORTEST_SECRET = 8
"""Header and environment values shorter than this (`1`, `true`) are words, not secrets."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server to reach at `url` (streamable HTTP), or to start as `command` in the folder `cwd` (stdio).
    It gets `env` besides the few harmless variables that the SDK passes on. `private`: the URL's name may
    resolve to a private address (`models/outbound.py`)."""

    label: str
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    private: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def redact(self, text: str) -> str:
        """The text of a server or library, without the secrets that we sent to it."""
        values = {*self.env.values(), *self.headers.values()}
        values |= {value.rpartition(" ")[2] for value in self.headers.values()}
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= SHORTEST_SECRET:
                text = text.replace(value, "[redacted]")
        return text


class ServerTool(Struct, frozen=True):
    """A tool in the list of a server. `repeatable`: the server declares that a repeated call has no further
    effect."""

    name: str
    description: str
    parameters: Json
    repeatable: bool
