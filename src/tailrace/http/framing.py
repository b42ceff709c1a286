"""The HTTP framing of a surface's stream: its headers, its heartbeat, and its last bytes when the server
stops.

Server-sent events get the one heartbeat that every measured client survives: a comment line without a blank
line after it. When the server stops, a stream is cut in the middle of its body, so that no client takes that
for the end of the run; a surface whose clients cannot handle that (`ends`) gets a last frame instead.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tailrace.protocols.ag_ui.wire import GOODBYE as AGUI_GOODBYE
from tailrace.service.views import Frames


class StreamFraming(Struct, frozen=True):
    """The reply's `headers`; `ping`, the heartbeat; `goodbye`, sent when the server stops; `ends`: the body
    then ends like a complete one."""

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

SSE = StreamFraming(SSE_HEADERS, PING, GOODBYE)

LINES = StreamFraming(
    {
        "content-type": "application/x-ndjson; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
    },
    ping=b"\n",
    goodbye=b"\n",
)
"""Readers skip empty lines, so an empty line is the heartbeat."""

UI = StreamFraming({**SSE_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}, PING, GOODBYE)
"""AI SDK UI message streams. No measured client reads the header; other tools may."""

AGUI = StreamFraming(SSE_HEADERS, PING, AGUI_GOODBYE, ends=True)
"""AG-UI. Its client ends the whole Node process when a connection breaks."""

FRAMINGS: Mapping[Frames, StreamFraming] = {"sse": SSE, "lines": LINES, "ui": UI, "agui": AGUI}
"""The framings by the names that views use."""
