"""Where an MCP server is and what it offers, in plain words; nothing here needs the SDK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from tailrace.events.items import Json

MAX_TOOLS = 512
"""Tools of one server that an agent may have; each request to a model has all of them."""

SHORTEST_SECRET = 8
"""Header and environment values shorter than this (`1`, `true`) are words, not secrets."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server to reach at `url` (streamable HTTP), or to start as `command` in the folder `cwd` (stdio). It
    gets `env` besides the few harmless variables of ours that the SDK passes on. `private`: the URL's name
    may lead to an address inside (see `models/outbound.py`)."""

    label: str
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    private: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def redact(self, text: str) -> str:
        """What a server or a library said, without what we told it in confidence."""
        values = {*self.env.values(), *self.headers.values()}
        values |= {value.rpartition(" ")[2] for value in self.headers.values()}
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= SHORTEST_SECRET:
                text = text.replace(value, "[redacted]")
        return text


class ServerTool(Struct, frozen=True):
    """A tool as a server lists it. `repeatable`: the server says that twice is as good as once."""

    name: str
    description: str
    parameters: Json
    repeatable: bool
