"""A model behind HTTP: one aiohttp session, a codec, timeouts, and retries before the first event only.

Once a payload of a reply was yielded, the reply is never requested again, because the caller has it in its
log. A server that sends only comments, pings and blank pieces counts as silent. A reply that was complete
when its connection broke or stalled is complete. Closing the generator closes the connection, which tells
the model server to stop.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed, NoReply
from tailrace.events.request import ModelRequest
from tailrace.events.types import Payload
from tailrace.models.outbound import Resolver, guard
from tailrace.models.reply_body import InterimResponse, ReplyBody
from tailrace.models.retrying import server_wait, wait_before
from tailrace.protocols.contract import HttpRequest, UpstreamCodec, UpstreamDecoder
from tailrace.protocols.foreign import speaks
from tailrace.protocols.offered import OfferedCalls
from tailrace.protocols.operators_faults import CONFIG_FAULTS, NO_REPLY

logger = logging.getLogger("tailrace.models")

MAX_ERROR_BODY = 65_536
SHORTEST_SECRET = 8
"""Header values shorter than this are words, not secrets."""
BAD, SLOW = 502, 504
"""The statuses of a server that cannot be reached or breaks the connection, and of one that times out."""


class Timeouts(Struct, frozen=True):
    """Timeouts in seconds: to connect, to the first byte of a reply, and between two events of it."""

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 120.0


class Sessions:
    """The process's HTTP client, made on first use (it belongs to the running event loop)."""

    def __init__(self, *, private: bool = False) -> None:
        """`private`: names may resolve to private addresses (see `outbound`)."""
        self._private = private
        self._session: aiohttp.ClientSession | None = None

    def get(self) -> aiohttp.ClientSession:
        """The session; no limit on connections, for each stream holds one."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, resolver=Resolver(private=self._private)),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,  # it decompresses everything that a read returns at once
                response_class=InterimResponse,
                middlewares=(guard(private=self._private),),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


@dataclass(frozen=True, kw_only=True)
class ModelServer:
    """A model server and its options. `model` is its name for the model. `headers` contain the credentials,
    which no error shows. Up to `most_bytes` of one reply are read, 0 for all. A user's id of more than
    `longest_user` characters is sent as a digest, which distinguishes users as well; 0 for any length."""

    base_url: str
    model: str
    headers: Mapping[str, str] = field(repr=False)
    timeouts: Timeouts
    retries: int
    most_bytes: int = 0
    longest_user: int = 0


class HttpModel:
    """A model behind a configured model server."""

    def __init__(
        self, name: str, codec: UpstreamCodec, sessions: Sessions, server: ModelServer
    ) -> None:
        self.name = name
        self._codec = codec
        self._sessions = sessions
        self._server = server

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[Payload], None]:
        http_request = self._codec.request(self._fitting(request), self._server.model)
        for attempt in range(self._server.retries + 1):
            has_output = False
            try:
                calls = (
                    OfferedCalls(http_request.offered_tools) if http_request.offered_tools else None
                )
                async with aclosing(self._reply(http_request)) as batches:
                    async for payloads in batches:
                        has_output = True
                        yield payloads if calls is None else calls.convert(payloads)
                return
            except ModelFailed as failure:
                most = (
                    min(self._server.retries, 1)
                    if isinstance(failure, NoReply)
                    else self._server.retries
                )
                if has_output or not failure.retryable or attempt >= most:
                    raise self._public_failure(
                        failure, attempt + 1, has_output=has_output
                    ) from None
                await asyncio.sleep(wait_before(attempt, failure.retry_after))

    def refusal(self, request: ModelRequest) -> ModelFailed | None:
        """The refusal of a request before it is sent. A request of the server's own dialect can be refused
        only for its tool choice, and for items of another dialect."""
        settings, dialect = request.settings, self._codec.dialect
        same = settings.origin == dialect and all(speaks(item, dialect) for item in request.items)
        if same and not settings.tool_choice.names:
            return None
        try:
            self._codec.request(request, self._server.model)
        except ModelFailed as failure:
            return failure
        return None

    async def close(self) -> None:
        await self._sessions.close()

    def _fitting(self, request: ModelRequest) -> ModelRequest:
        user, longest = request.settings.user, self._server.longest_user
        if not longest or len(user) <= longest:
            return request
        digest = hashlib.sha256(user.encode()).hexdigest()[:longest]
        settings = msgspec.structs.replace(request.settings, user=digest)
        return msgspec.structs.replace(request, settings=settings)

    async def _reply(self, request: HttpRequest) -> AsyncGenerator[Sequence[Payload], None]:
        """The payloads of one reply. Raises `ModelFailed`."""
        reply, first = await self._post_or_alternative(request)
        decoder = self._codec.decoder(self.name)
        patience = IdleTimer(self._server.timeouts.idle, decoder)
        try:
            coding = reply.headers.get("content-encoding", "")
            read = partial(self._read, reply, patience, "stalled")
            async with aclosing(
                ReplyBody(read, coding, self._server.most_bytes).pieces(first)
            ) as pieces:
                async for data in pieces:
                    if payloads := decoder.feed(data):
                        yield payloads
                    if decoder.failure is not None or decoder.done:
                        break
        except ModelFailed:
            if payloads := decoder.close():
                yield payloads
            if not decoder.done:
                raise
        finally:
            reply.close()
        if payloads := decoder.close():
            yield payloads
        if decoder.failure is not None:
            raise decoder.failure

    async def _post_or_alternative(
        self, request: HttpRequest
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """The response to the request, or to its alternative if the server refuses it."""
        try:
            return await self._post(request)
        except ModelFailed as refusal:
            body = request.instead(refusal) if request.instead is not None else b""
            if not body:
                raise
            reason = self._clean(refusal.message)
            logger.warning(
                "model %s refused the request, which is retried once in another form: %s",
                self.name,
                reason,
            )
        return await self._post(msgspec.structs.replace(request, body=body))

    async def _post(self, request: HttpRequest) -> tuple[aiohttp.ClientResponse, bytes]:
        """The reply with its first bytes."""
        try:
            async with asyncio.timeout(
                self._server.timeouts.connect + self._server.timeouts.first_byte
            ):
                reply = await self._sessions.get().post(
                    self._server.base_url.rstrip("/") + request.path,
                    data=request.body,
                    headers=self._head(request),
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=self._server.timeouts.connect
                    ),
                    allow_redirects=False,
                )
        except TimeoutError:
            raise _failure("did not answer in time", SLOW, retryable=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error) from None
        try:
            if reply.status >= 300:
                body = self._redact(await self._error_body(reply))
                raise _by_headers(self._codec.failure(reply.status, body), reply.headers)
            return reply, await self._first(reply)
        except BaseException:
            reply.close()
            raise

    def _head(self, request: HttpRequest) -> dict[str, str]:
        own = {name.lower(): value for name, value in self._server.headers.items()}
        defaults = {"content-type": "application/json", "accept": "text/event-stream"}
        defaults["accept-encoding"] = "identity"
        head = {**defaults, **own, **request.headers}
        for name, values in request.appended_headers.items():
            head[name] = ",".join(filter(None, (head.get(name), values)))
        return head

    def _redact(self, body: bytes) -> bytes:
        """A server's text without the keys that we sent to it: some servers repeat them."""
        for value in self._server.headers.values():
            secret = value.rpartition(" ")[2].encode()
            if len(secret) >= SHORTEST_SECRET:
                body = body.replace(secret, b"[redacted]")
        return body

    def _public_failure(self, failure: ModelFailed, times: int, *, has_output: bool) -> ModelFailed:
        """A failure for the caller, after this number of attempts. The details that no client may see, and
        the attempts, go to the log."""
        if failure.detail:
            logger.warning("model %s %s", self.name, self._clean(failure.detail))
        again = f" (asked {times} times)" if times > 1 else ""
        return failure.but(
            message=self._clean(failure.message) + again,
            public=self._clean(failure.public) + again if failure.public else "",
            code=self._clean(failure.code),
            param=self._clean(failure.param),
            error_type=self._clean(failure.error_type),
            detail=self._clean(failure.detail),
            retryable=failure.retryable and not has_output,
        )

    def _clean(self, text: str) -> str:
        return self._redact(text.encode("utf-8", "replace")).decode()

    async def _first(self, reply: aiohttp.ClientResponse) -> bytes:
        """The first bytes of a reply. While there are none, the reply may be requested again."""
        patience = IdleTimer(self._server.timeouts.first_byte)
        try:
            first = await self._read(reply, patience, "sent nothing")
        except ModelFailed as failure:
            raise failure.but(retryable=True) from None
        if not first:
            message = f"The model server answered {reply.status} and nothing else."
            raise NoReply(message, status=BAD, code=NO_REPLY, retryable=True)
        return first

    async def _error_body(self, reply: aiohttp.ClientResponse) -> bytes:
        """The body of a server's refusal, as far as it arrives in time."""
        body = bytearray()
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self._server.timeouts.first_byte):
                while len(body) < MAX_ERROR_BODY and (piece := await reply.content.readany()):
                    body += piece
        return bytes(body[:MAX_ERROR_BODY])

    async def _read(self, reply: aiohttp.ClientResponse, patience: IdleTimer, how: str) -> bytes:
        """The bytes that have arrived; empty at the end of the reply."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(patience.left()):
                data = await reply.content.readany()
        except TimeoutError:
            raise _failure(f"{how} for {patience.seconds:g} s", SLOW) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(f"broke the connection: {_words(error)}", BAD) from None
        patience.idle_seconds += clock() - began
        return data


class IdleTimer:
    """The time limit for a server: `seconds` since its last progress, whatever else it sends."""

    def __init__(self, seconds: float, decoder: UpstreamDecoder | None = None) -> None:
        self.seconds = seconds
        self.idle_seconds = 0.0
        self._decoder = decoder
        self._progress = 0

    def left(self) -> float:
        """The seconds to wait for the next bytes."""
        if self._decoder is not None and self._decoder.progress != self._progress:
            self._progress = self._decoder.progress
            self.idle_seconds = 0.0
        return self.seconds - self.idle_seconds


def _failure(what: str, status: int, *, retryable: bool = False) -> ModelFailed:
    return ModelFailed(f"The model server {what}.", status=status, retryable=retryable)


def _unreachable(error: aiohttp.ClientError | OSError) -> ModelFailed:
    """No connection to the server. A certificate, a handshake, an address that is not allowed: retrying
    does not help. A name that does not resolve, or a port without a listener, may come up later."""
    failure = _failure(f"cannot be reached: {_words(error)}", BAD, retryable=True)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    ours = isinstance(cause, PermissionError) and cause.errno == 0
    if ours or isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL)):
        return failure.but(code=CONFIG_FAULTS, retryable=False)
    return failure


def _words(error: Exception) -> str:
    """An I/O error without its address or its credentials."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, PermissionError) and cause.errno == 0:
        return f"{cause.strerror}"  # ours: it names the setting that would allow it
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _by_headers(failure: ModelFailed, headers: Mapping[str, str]) -> ModelFailed:
    """A refusal with the retry delay of its headers."""
    wait = server_wait(headers, time.time())
    final = headers.get("x-should-retry") == "false"
    return failure.but(
        retry_after=failure.retry_after if wait is None else wait,
        retryable=failure.retryable and not final,
        final=final,
    )
