"""What of a server is HTTP: who may come in, bodies in, streams out, health, and its life."""

from __future__ import annotations

import string
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request

from tailrace.auth.gate import Gate
from tailrace.http.bodies import Bodies
from tailrace.http.event_stream import EventStream, Streams
from tailrace.http.framing import FRAMINGS
from tailrace.http.health import Health
from tailrace.http.life import Life
from tailrace.http.replies import run_headers
from tailrace.service.caller import Caller
from tailrace.service.run_service import Reading, RunService

PLAIN = string.punctuation.replace("%", "")
"""What stands in a header's value as it is, beside letters and digits; the rest is percent-encoded, as in the
path that the name is asked by."""


class Edge(Struct, frozen=True):
    """The HTTP of a server. `extension_key` and `functions` are as in `Mount`."""

    gate: Gate
    bodies: Bodies
    streams: Streams
    health: Health
    life: Life
    extension_key: str
    functions: bool

    async def body(self, http: Request, caller: Caller) -> bytes:
        """The request's whole body, as `Bodies.read`."""
        limits = [account.limits.input_bytes for account in caller.accounts]
        return await self.bodies.read(http, limits)

    def stream(self, reading: Reading) -> EventStream:
        """A reply that streams what a caller reads."""
        view = reading.view
        headers = {**run_headers(reading.run), **_session_header(view.session)}
        return EventStream(
            self.streams,
            reading.subscription,
            reading.counted,
            reading.caller.valid,
            FRAMINGS[view.frames],
            headers,
        )


class Instance(Struct, frozen=True):
    """A server that is assembled: what it does with runs, and its HTTP. `edge.life` opens and closes both."""

    service: RunService
    edge: Edge


def _session_header(session: str) -> dict[str, str]:
    """What a reply of a session names it by; nothing without one."""
    return {"x-session-id": quote(session, safe=PLAIN)} if session else {}
