"""A model behind HTTP: one aiohttp session, a codec, timeouts, and retries before the first event only.

Once anything of a reply was seen it is never asked for again: the caller has it in its log. Closing the
generator closes the connection, which is how a model server learns that nobody wants the rest.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial

import aiohttp
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest
from tailrace.events.types import Payload
from tailrace.models import interim
from tailrace.models.outbound import Resolver
from tailrace.models.reply_body import ReplyBody
from tailrace.protocols.contract import HttpRequest, UpstreamCodec

MAX_ERROR_BODY = 65_536
SHORTEST_SECRET = 8
"""Header values shorter than this are words."""
MAX_RETRY_WAIT = 30.0
FIRST_RETRY_WAIT = 0.5
ENDED = "The model server's reply ended in the middle."


class Timeouts(Struct, frozen=True):
    """Seconds to connect, to the first byte of a reply, and between two bytes of it."""

    connect: float = 10.0
    first_byte: float = 120.0
    idle: float = 120.0


class Sessions:
    """The process's HTTP client, made when first used (it belongs to the running event loop)."""

    def __init__(self, *, private: bool = False) -> None:
        """`private`: names may lead to addresses inside (see `outbound`)."""
        self._private = private
        self._session: aiohttp.ClientSession | None = None

    def get(self) -> aiohttp.ClientSession:
        """The session; no limit on connections, for each stream holds one."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, resolver=Resolver(private=self._private)),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,  # it unpacks whatever a read brings in one go
                response_class=interim.Reply,
            )
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


class HttpModel:
    """A configured model server. `headers` carry the credentials; they are never shown in errors."""

    def __init__(
        self,
        name: str,
        codec: UpstreamCodec,
        sessions: Sessions,
        *,
        base_url: str,
        model: str,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        retries: int,
        most_bytes: int = 0,
    ) -> None:
        """`most_bytes` of one reply are read, 0 for all."""
        self.name = name
        self._codec = codec
        self._sessions = sessions
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._headers = headers
        self._timeouts = timeouts
        self._retries = retries
        self._most_bytes = most_bytes

    async def stream(
        self, request: ModelRequest, items: Iterator[int]
    ) -> AsyncGenerator[Sequence[Payload], None]:
        asked = self._codec.request(request, self._model)
        reply, first = await self._ask(asked)
        try:
            decoder = self._codec.decoder(items, self.name)
            coding = reply.headers.get("content-encoding", "")
            read = partial(self._read, reply, self._timeouts.idle, "stalled")
            async with aclosing(ReplyBody(read, coding, self._most_bytes).pieces(first)) as pieces:
                async for data in pieces:
                    if payloads := decoder.feed(data):
                        yield payloads
                    if decoder.failure is not None:
                        raise decoder.failure
                    if decoder.done:
                        break
            if payloads := decoder.close():
                yield payloads
            if decoder.failure is not None:
                raise decoder.failure
        finally:
            reply.close()

    async def close(self) -> None:
        await self._sessions.close()

    async def _ask(self, asked: HttpRequest) -> tuple[aiohttp.ClientResponse, bytes]:
        """The reply with its first bytes; retried while the server says it may be worth it."""
        for attempt in range(self._retries + 1):
            try:
                return await self._try(asked)
            except _Refused as refused:
                if not refused.failure.retryable or attempt == self._retries:
                    raise refused.failure from None
                wait = FIRST_RETRY_WAIT * 2**attempt if refused.wait is None else refused.wait
                await asyncio.sleep(min(wait, MAX_RETRY_WAIT))
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, asked: HttpRequest) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            async with asyncio.timeout(self._timeouts.connect + self._timeouts.first_byte):
                reply = await self._sessions.get().post(
                    self._base_url + asked.path,
                    data=asked.body,
                    headers=self._head(asked),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
                    allow_redirects=False,
                )
        except TimeoutError:
            raise _Refused(_failed("did not answer in time", retryable=True)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Refused(_failed(f"cannot be reached: {_words(error)}", retryable=True)) from None
        try:
            if reply.status >= 300:
                body = await self._error_body(reply)
                failure = self._codec.failure(reply.status, self._redacted(body))
                raise _Refused(failure, _retry_after(reply.headers))
            return reply, await self._first(reply)
        except BaseException:
            reply.close()
            raise

    def _head(self, asked: HttpRequest) -> dict[str, str]:
        own = {name.lower(): value for name, value in self._headers.items()}
        fixed = {"content-type": "application/json", "accept": "text/event-stream"}
        fixed["accept-encoding"] = "identity"
        head = {**fixed, **own, **asked.headers}
        for name, values in asked.added.items():
            head[name] = ",".join(filter(None, (head.get(name), values)))
        return head

    def _redacted(self, body: bytes) -> bytes:
        """What a server said, without the keys that we showed it: some repeat them."""
        for value in self._headers.values():
            secret = value.rpartition(" ")[2].encode()
            if len(secret) >= SHORTEST_SECRET:
                body = body.replace(secret, b"[redacted]")
        return body

    async def _first(self, reply: aiohttp.ClientResponse) -> bytes:
        """The first bytes of a reply. While there are none it may be asked for again."""
        try:
            first = await self._read(reply, self._timeouts.first_byte, "sent nothing")
        except ModelFailed as failure:
            raise _Refused(ModelFailed(failure.message, retryable=True)) from None
        if not first:
            raise _Refused(ModelFailed(ENDED, retryable=True))
        return first

    async def _error_body(self, reply: aiohttp.ClientResponse) -> bytes:
        """What a server says of its refusal, as far as it says it in time."""
        body = bytearray()
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self._timeouts.first_byte):
                while len(body) < MAX_ERROR_BODY and (piece := await reply.content.readany()):
                    body += piece
        return bytes(body[:MAX_ERROR_BODY])

    async def _read(self, reply: aiohttp.ClientResponse, seconds: float, how: str) -> bytes:
        """What has arrived; empty at the end of the reply."""
        try:
            async with asyncio.timeout(seconds):
                return await reply.content.readany()
        except TimeoutError:
            raise _failed(f"{how} for {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(f"broke the connection: {_words(error)}") from None


class _Refused(Exception):
    """No reply began; `wait` is what the server asked for, in seconds."""

    def __init__(self, failure: ModelFailed, wait: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.wait = wait


def _failed(what: str, *, retryable: bool = False) -> ModelFailed:
    return ModelFailed(f"The model server {what}.", retryable=retryable)


def _words(error: Exception) -> str:
    """An I/O error without its address or its credentials."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, PermissionError) and cause.errno == 0:
        return f"{cause.strerror}"  # ours: it names what would allow it
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """`retry-after-ms`, else `Retry-After` in seconds; the form with a date is not used here."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < math.inf:  # neither is nan
            return seconds
    return None
