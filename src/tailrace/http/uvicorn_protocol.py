"""uvicorn's HTTP protocol, with bounds on every byte before it is stored.

`intake.py` has the bounds. A request that exceeds one, or is invalid, is answered here. Further bytes of such
a request, or of one that was answered before it was complete, are read and discarded for `LINGER_SECONDS`
without parsing (as nginx does: closing a socket with unread bytes destroys the reply), then the connection
ends. An `Upgrade` is ignored, as RFC 9110 allows; httptools would take the body for another protocol.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn, cast

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailrace.http import intake
from tailrace.http.connection import EXTENSION, WRITE_HIGH_WATER, Connection
from tailrace.http.intake import BodyFraming, Intake, Refusal
from tailrace.http.request_ids import fresh_id, lines, request_id

logger = logging.getLogger("tailrace.http")

HEAD_SECONDS = 30.0
"""Time for a request's head, from the start of the connection or the reply before it."""
MAX_PIPELINE = 32
"""Pipelined requests that may wait; further ones get no reply."""
REST_BYTES = 65_536
"""Bytes of an unread body that are read so that the connection can be used again."""
LINGER_SECONDS = 5.0
"""Time for which a connection that ends is still read, up to the size of a body."""


class _StopParsing(Exception):
    """Raised in a callback of the parser, so that it stops."""


class Protocol(HttpToolsProtocol):
    """One connection. Bodies are bounded whether the application reads them or not."""

    def __init__(self, *args: Any, most_body: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in = Intake(most_body)
        self._framing = BodyFraming()
        self._replaying_head = False
        """The parser reads a head again, after an upgrade was ignored."""
        self._discarding = False
        """Bytes are discarded, and no longer parsed."""
        self._discarded_bytes = 0
        self._last: RequestResponseCycle | None = None
        """The request whose reply has `connection: close`."""
        self._current: Connection | None = None
        """The connection of the request that is being answered; pipelined ones wait."""
        self._timer: asyncio.TimerHandle | None = None

    # Received bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._in.spare -= len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(intake.MALFORMED)
        else:
            if self._in.spare < 0:
                self._refuse(self._in.refusal())

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._ignore_upgrade()

    def _ignore_upgrade(self) -> None:
        """Continue with HTTP/1.1. The parser takes all bytes after an upgrade for another protocol, also the
        body of the request itself. So a new parser reads a head with the framing of that body."""
        self.parser = httptools.HttpRequestParser(self)
        if self._framing.header:
            self._replaying_head = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._framing.header)
            self._replaying_head = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timer()
        self._abandon()

    # Callbacks of the parser

    def on_message_begin(self) -> None:
        if self._replaying_head:
            return
        if self._last is not None or len(self.pipeline) >= MAX_PIPELINE:
            self._discarding = True
            raise _StopParsing
        super().on_message_begin()
        self._in.begin()
        self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        if not self._replaying_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._replaying_head or self._in.phase != "head":
            return  # a trailer is ignored: it would pass for a header that was checked
        if len(self.headers) >= intake.HEADERS:
            self._refuse_head(intake.HEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._replaying_head:
            return
        framing = intake.head(self.url, self.headers, version=self.parser.get_http_version())
        if isinstance(framing, Refusal):
            self._refuse_head(framing)
        self._framing = framing
        super().on_headers_complete()
        self._cancel_timer()
        self._in.body_begins()

    def on_body(self, body: bytes) -> None:
        self._in.body(len(body))
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Called by the parser for each chunk size."""
        if not self._replaying_head and not self._in.chunk():
            self._refuse(self._in.refusal())
            raise _StopParsing  # else the parser would continue with the rest of the read

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing.header:
            return  # its body follows
        self._in.end()
        super().on_message_complete()

    # Replies

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        self._current = scope.setdefault("extensions", {})[EXTENSION] = Connection(cycle)
        if self._discarding or (cycle is self.cycle and self._framing.header):
            app = self._closing(cycle, app)
        super()._start_asgi_task(cycle, app)

    def _closing(self, cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
        """An application whose reply has `connection: close` if the connection will end."""

        async def closing(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_with_close(message: Message) -> None:
                last = message["type"] == "http.response.start" and self._ends_with(cycle)
                if last:
                    self._last = cycle
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
                await send(message)
                if last:
                    # Without it uvicorn closes the socket at once, and the reply may be lost.
                    cycle.keep_alive = True

            await app(scope, receive, send_with_close)

        return closing

    def _ends_with(self, cycle: RequestResponseCycle) -> bool:
        """Whether a reply that begins now is the last one: too much of its request is still unread."""
        if cycle is not self.cycle or not cycle.more_body:
            return self._discarding and not self.pipeline
        length = self._framing.length
        rest = REST_BYTES + 1 if length is None else length - self._in.length
        return rest > REST_BYTES or cycle.waiting_for_100_continue

    def on_response_complete(self) -> None:
        self._current = None
        if self._last is not None or (self._discarding and not self.pipeline):
            self.server_state.total_requests += 1
            self.pipeline.clear()
            self._linger()
            return
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next request is in progress
            self._wait_for_head()

    # Refusals

    def _refuse_head(self, refusal: Refusal) -> NoReturn:
        self._refuse(refusal)
        raise _StopParsing

    def _refuse(self, refusal: Refusal) -> None:
        """Discard all further bytes, and reply with the reason if no other reply comes first."""
        if self._discarding or self.transport.is_closing():
            return
        self._discarding = True
        logger.warning("A request was refused: %s.", refusal.why)
        if self._in.phase == "body":
            self._refuse_body(refusal)
        elif (newest := self._newest()) is None or newest.response_complete:
            self._answer(refusal)
        # else the requests before it get their replies, then the connection ends

    def _newest(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first request, though uvicorn declares it otherwise

    def _refuse_body(self, refusal: Refusal) -> None:
        cycle = self.cycle
        if self.pipeline:
            self.pipeline.popleft()  # the requests before it have no reply yet
        elif cycle.response_complete:
            self._linger()
        elif cycle.response_started:
            self.transport.abort()  # nothing else shows that the reply is incomplete
        else:
            self._abandon()
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        body = refusal.why.encode()
        head = lines({"content-type": "text/plain", "content-length": str(len(body))})
        head += lines({"connection": "close", **request_id(fresh_id())})
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (refusal.status, head, body))
        self._linger()

    def _abandon(self) -> None:
        """Mark the client of the current request as gone."""
        current, self._current = self._current, None
        if current is not None:
            current.lose()

    # The end of the connection

    def _linger(self) -> None:
        """Send no more, and discard further bytes for `LINGER_SECONDS`, then end the connection."""
        if self.transport.is_closing():
            return
        self._discarding = True
        self._unset_keepalive_if_required()
        self._cancel_timer()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        self.flow.resume_reading()
        self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > self._in.most:
            self.transport.abort()

    def _wait_for_head(self) -> None:
        """Close the connection if no complete head arrives in time; an incomplete request gets no reply."""
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
