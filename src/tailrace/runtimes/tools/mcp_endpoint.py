"""The address of an MCP server and its tools, without the SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import quote

from msgspec import Struct

from tailrace.events.items import Json
from tailrace.runtimes.tools.contract import ToolContext
from tailrace.runtimes.variables import fill

MAX_TOOLS = 512
"""The maximum number of tools of one server; each request to a model has all of them."""

SHORTEST_SECRET = 8
"""Header and environment values shorter than this (`1`, `true`) are words, not secrets."""


CallHeaders: TypeAlias = Callable[[ToolContext], Awaitable[Mapping[str, str]] | Mapping[str, str]]
"""Makes headers for a call, for instance with a token of its user."""
PLAIN = "".join(map(chr, range(32, 127))).replace("%", "")
"""The characters that a header's value may have; others are percent-encoded."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server to reach at `url` (streamable HTTP), or to start as `command` in the folder `cwd` (stdio).
    It gets `env` besides the few harmless variables that the SDK passes on. `private`: the URL's name may
    resolve to a private address (`models/outbound.py`).

    `headers` go with every HTTP request. `run_headers` are templates of more headers for the requests of a
    call, with the variables of its run (`variables.py`), and `call_headers` makes headers of a call. With
    `send_caller` the tenant and the user of a call's run are in its `_meta`.
    """

    label: str
    url: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    cwd: str = ""
    private: bool = False
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    run_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    call_headers: CallHeaders | None = None
    send_caller: bool = False

    async def headers_of(self, context: ToolContext) -> dict[str, str]:
        """The headers of a call besides `headers`. A function of the application may raise anything."""
        headers = {name: fill(text, context.request) for name, text in self.run_headers.items()}
        if self.call_headers is not None:
            more = self.call_headers(context)
            headers |= await more if isinstance(more, Awaitable) else more
        return {name: quote(value, safe=PLAIN) for name, value in headers.items()}

    def redact(self, text: str, call_headers: Mapping[str, str] | None = None) -> str:
        """The text of a server or library, without the secrets that we sent to it."""
        headers = {**self.headers, **(call_headers or {})}
        values = {*self.env.values(), *headers.values()}
        values |= {value.rpartition(" ")[2] for value in headers.values()}
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
