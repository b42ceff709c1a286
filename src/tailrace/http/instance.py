"""An assembled server: the operations on runs, their HTTP edge, and the lifecycle of both."""

from __future__ import annotations

import string
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request

from tailrace.auth.gate import Gate
from tailrace.http.bodies import Bodies
from tailrace.http.event_stream import FRAMINGS, EventStream, StreamSettings
from tailrace.http.health import Health
from tailrace.http.replies import run_headers
from tailrace.service.caller import Caller
from tailrace.service.lifecycle import Lifecycle, Shutdown
from tailrace.service.run_service import Reading, RunService

SAFE_PUNCTUATION = string.punctuation.replace("%", "")
"""What a header's value holds as it is, beside letters and digits; the rest is percent-encoded, as in the
path of the session."""


class Edge(Struct, frozen=True):
    """What a server needs for HTTP. `extension_key` and `functions` are as in `Mount`."""

    gate: Gate
    bodies: Bodies
    health: Health
    shutdown: Shutdown
    stream_settings: StreamSettings
    extension_key: str
    functions: bool

    async def body(self, http: Request, caller: Caller) -> bytes:
        """The request's whole body, as `Bodies.read`."""
        limits = [account.limits.input_bytes for account in caller.accounts]
        return await self.bodies.read(http, limits)

    def stream(self, reading: Reading) -> EventStream:
        """The reply that streams what a caller reads."""
        view = reading.view
        headers = {**run_headers(reading.run), **_session_header(view.session)}
        return EventStream(
            reading,
            FRAMINGS[view.frames],
            headers,
            settings=self.stream_settings,
            shutdown=self.shutdown,
        )


class Instance(Struct, frozen=True):
    """A server, not open yet. `lifecycle` opens and closes it."""

    service: RunService
    edge: Edge
    lifecycle: Lifecycle


def _session_header(session: str) -> dict[str, str]:
    return {"x-session-id": quote(session, safe=SAFE_PUNCTUATION)} if session else {}
