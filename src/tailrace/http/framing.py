"""How a surface's frames travel: under which headers, what says "still here", what says "not now".

Server-sent events get the one heartbeat that every measured client survives: a comment line without a blank
line after it. When the server stops, a stream is cut in the middle of its body, so that no client takes
that for the end of the run; a surface whose clients cannot bear that (`ends`) gets a last frame instead.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tailrace.protocols.ag_ui.wire import GOODBYE as AGUI_GOODBYE
from tailrace.service.views import Frames


class Framing(Struct, frozen=True):
    """`headers` of the reply; `ping` after some seconds of silence; `goodbye` when the server stops, and
    whether the body then `ends` as if it were whole."""

    headers: Mapping[str, str]
    ping: bytes
    goodbye: bytes
    ends: bool = False


SSE_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
PING = b": ping\n"
GOODBYE = b": the server is restarting; ask again for the rest\n"

SSE = Framing(SSE_HEADERS, PING, GOODBYE)

LINES = Framing(
    {
        "content-type": "application/x-ndjson; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
    },
    ping=b"\n",
    goodbye=b"\n",
)
"""Readers skip empty lines, so one says "still here"."""

UI = Framing({**SSE_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}, PING, GOODBYE)
"""AI SDK UI message streams. No measured client looks at the header; others of its makers' tools may."""

AGUI = Framing(SSE_HEADERS, PING, AGUI_GOODBYE, ends=True)
"""AG-UI. Its client in Node ends the whole process when a connection breaks."""

FRAMINGS: Mapping[Frames, Framing] = {"sse": SSE, "lines": LINES, "ui": UI, "agui": AGUI}
"""By the name that a view has for it."""
