"""Requests off the wire: uvicorn's protocol, with every byte counted before it is kept.

`intake` says how much of what may come. What is over that, or is no request, is answered here; nothing that
such a request, or one that was answered before it was whole, still sends is parsed: it is read and forgotten
for a moment (as nginx does: a socket closed over unread bytes takes the reply with it), then the connection
ends. An `Upgrade` is ignored, as RFC 9110 allows; httptools would take the body for another protocol.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NoReturn, cast

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailrace.http import intake, uvicorn_hooks
from tailrace.http.direct import EXTENSION, WRITE_HIGH_WATER, Connection
from tailrace.http.intake import Framing, Intake, Refusal
from tailrace.http.request_ids import fresh_id, lines, request_id

assert uvicorn_hooks  # imported for what it checks
logger = logging.getLogger("tailrace.http")

HEAD_SECONDS = 30.0
"""How long a head may take, from the connection's beginning or the reply before it."""
PIPELINED = 32
"""Requests that may wait behind the one that is answered; what comes after them gets no answer."""
REST_BYTES = 65_536
"""So much of a body that nobody wants is read for the sake of the next request on the connection."""
LINGER_SECONDS = 5.0
"""How long a connection that ends is still read, up to the bytes of a body."""


class _Refused(Exception):
    """Raised to the parser, so that it stops."""


class Protocol(HttpToolsProtocol):
    """One connection. Bodies are bounded whether anybody reads them or not."""

    def __init__(self, *args: Any, most_body: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in = Intake(most_body)
        self._framing = Framing()
        self._muted = False
        """The parser is told a head again that was read before."""
        self._deaf = False
        """Nothing that comes is parsed any more."""
        self._forgotten = 0
        self._last: RequestResponseCycle | None = None
        """The request whose reply says that it is the last."""
        self._served: Connection | None = None
        """The request that is being answered; those pipelined behind it wait."""
        self._timer: asyncio.TimerHandle | None = None

    # What comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._forget(len(data))
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
        """Go on with HTTP/1.1: the parser takes what follows an upgrade for another protocol, the request's
        own body too. So a new one is told how that is framed."""
        self.parser = httptools.HttpRequestParser(self)
        if self._framing.header:
            self._muted = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._framing.header)
            self._muted = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timer()
        self._abandon()

    # What the parser finds

    def on_message_begin(self) -> None:
        if self._muted:
            return
        if self._last is not None or len(self.pipeline) >= PIPELINED:
            self._deaf = True
            raise _Refused
        super().on_message_begin()
        self._in.begin()
        self._wait_for_head()

    def on_url(self, url: bytes) -> None:
        if not self._muted:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._muted or self._in.phase != "head":
            return  # trailers are nobody's: one would pass for a header that was checked
        if len(self.headers) >= intake.HEADERS:
            self._refuse_head(intake.HEAD)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._muted:
            return
        found = intake.head(self.url, self.headers, version=self.parser.get_http_version())
        if isinstance(found, Refusal):
            self._refuse_head(found)
        self._framing = found
        super().on_headers_complete()
        self._cancel_timer()
        self._in.body_begins()

    def on_body(self, body: bytes) -> None:
        self._in.body(len(body))
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """The parser has found the size of a chunk."""
        if not self._muted and not self._in.chunk():
            self._refuse(self._in.refusal())
            raise _Refused  # else the parser would go on with what is left of the read

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing.header:
            return  # its body is still to come
        self._in.end()
        super().on_message_complete()

    # What is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope = cast("dict[str, Any]", cycle.scope)
        self._served = scope.setdefault("extensions", {})[EXTENSION] = Connection(cycle)
        if self._deaf or (cycle is self.cycle and self._framing.header):
            app = self._closing(cycle, app)
        super()._start_asgi_task(cycle, app)

    def _closing(self, cycle: RequestResponseCycle, app: ASGIApp) -> ASGIApp:
        """An application whose reply says that the connection ends, where it will."""

        async def closing(scope: Scope, receive: Receive, send: Send) -> None:
            async def said(message: Message) -> None:
                last = message["type"] == "http.response.start" and self._ends_with(cycle)
                if last:
                    self._last = cycle
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
                await send(message)
                if last:
                    cycle.keep_alive = (
                        True  # else uvicorn closes at once, and the reply may be lost
                    )

            await app(scope, receive, said)

        return closing

    def _ends_with(self, cycle: RequestResponseCycle) -> bool:
        """Whether a reply that begins now is the last: more of its request may come than is worth reading."""
        if cycle is not self.cycle or not cycle.more_body:
            return self._deaf and not self.pipeline
        length = self._framing.length
        rest = REST_BYTES + 1 if length is None else length - self._in.length
        return rest > REST_BYTES or cycle.waiting_for_100_continue

    def on_response_complete(self) -> None:
        self._served = None
        if self._last is not None or (self._deaf and not self.pipeline):
            self.server_state.total_requests += 1
            self.pipeline.clear()
            self._linger()
            return
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next one is being answered, or waits for that
            self._wait_for_head()

    # What is refused

    def _refuse_head(self, refusal: Refusal) -> NoReturn:
        self._refuse(refusal)
        raise _Refused

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more, and say why where it is the request's turn to be answered."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        logger.warning("A request was refused: %s.", refusal.why)
        if self._in.phase == "body":
            self._refuse_body(refusal)
        elif (newest := self._newest()) is None or newest.response_complete:
            self._answer(refusal)
        # else those before it are answered, then the connection ends

    def _newest(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first request, though uvicorn declares it otherwise

    def _refuse_body(self, refusal: Refusal) -> None:
        cycle = self.cycle
        if self.pipeline:
            self.pipeline.popleft()  # it waits for those before it, and so would its answer
        elif cycle.response_complete:
            self._linger()
        elif cycle.response_started:
            self.transport.abort()  # nothing else says that the reply is not whole
        else:
            self._abandon()
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        said = refusal.why.encode()
        head = lines({"content-type": "text/plain", "content-length": str(len(said))})
        head += lines({"connection": "close", **request_id(fresh_id())})
        self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (refusal.status, head, said))
        self._linger()

    def _abandon(self) -> None:
        """The request that is being answered will not be."""
        served, self._served = self._served, None
        if served is not None:
            served.lose()

    # What is left

    def _linger(self) -> None:
        """End the connection: nothing more is said, and what still comes is forgotten for a moment."""
        if self.transport.is_closing():
            return
        self._deaf = True
        self._unset_keepalive_if_required()
        self._cancel_timer()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        self.flow.resume_reading()
        self.transport.write_eof()

    def _forget(self, size: int) -> None:
        self._forgotten += size
        if self._forgotten > self._in.most:
            self.transport.abort()

    def _wait_for_head(self) -> None:
        """Close when no head comes in time; who is half in one, or still in the body of one that was
        answered, gets no answer."""
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
