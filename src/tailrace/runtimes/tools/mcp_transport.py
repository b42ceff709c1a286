"""The SDK's two transports to an MCP server, with additions.

stdio: the server's stderr goes to the log, and the end of its output is noticed at once. Streamable HTTP: a
request that cannot be sent fails alone; in the SDK it ends the whole session and every call of it. A body
is bounded, and is not decompressed; the SDK bounds events of a stream. `TransportState` is the state of the
transport for its session.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import httpx2
import msgspec
from mcp.client._transport import ReadStream, TransportStreams
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import MCP_SESSION_ID, streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import CONNECTION_CLOSED
from msgspec import Struct
from msgspec import field as field_of

from tailrace.models.outbound import addresses
from tailrace.runtimes.tools.mcp_endpoint import Endpoint

CONNECT_SECONDS = 10.0
GOODBYE_SECONDS = 2.0
KEY = "tailrace/idempotency-key"
"""The key of a call in its `_meta`."""
NOT_SENT = {"tailrace": "not sent"}
CONNECTION_LOST = {"tailrace": "lost"}
"""The `data` of our own errors: the server did not get the request; it is unknown whether it did."""

MAX_LINE = 8192
BELOW = "stack_of"
"""The attribute of a log record that holds the lines below its message (`http/logs.py`)."""
TOGETHER_SECONDS = 0.1
"""Lines that arrive within this time are one record of the log, in seconds."""
MAX_BODY = 16_777_216
"""Maximum size of one response, in bytes; the SDK holds it in memory and decodes it at once."""
EVENTS = "text/event-stream"
BAD_REQUEST, NOT_FOUND, SERVICE_UNAVAILABLE = 400, 404, 503

logger = logging.getLogger("tailrace.mcp")


@dataclass
class TransportState:
    """The state of a connection. `end`: set when no further message can come; `is_expired`: the server no
    longer knows the session; `error_status`: the last HTTP status that was an error, or 0."""

    end: asyncio.Event = field(default_factory=asyncio.Event)
    is_expired: bool = False
    error_status: int = 0
    _headers_by_key: dict[str, Mapping[str, str]] = field(
        default_factory=dict[str, Mapping[str, str]], repr=False
    )

    @contextmanager
    def sending(self, key: str, headers: Mapping[str, str]) -> Generator[None]:
        """A call with this key is in progress; its HTTP requests have these headers."""
        if headers:
            self._headers_by_key[key] = headers
        try:
            yield
        finally:
            self._headers_by_key.pop(key, None)

    def headers_of(self, body: bytes) -> Mapping[str, str]:
        """The headers of the call in a request's body. The SDK sends all calls of a session from one task, so
        a request names its call only by the `_meta` in its body."""
        if not self._headers_by_key or not body:
            return {}
        try:
            message = msgspec.json.decode(body, type=_Message)
        except msgspec.MsgspecError:
            return {}
        return self._headers_by_key.get(message.params.meta.key, {})


class _Meta(Struct):
    key: str = field_of(name=KEY, default="")


class _Parameters(Struct):
    meta: _Meta = field_of(name="_meta", default_factory=_Meta)


class _Message(Struct):
    params: _Parameters = field_of(default_factory=_Parameters)


def transport(
    endpoint: Endpoint, signs: TransportState
) -> AbstractAsyncContextManager[TransportStreams]:
    """A transport to the server, not open yet; to be entered and left by one task."""
    return _stdio(endpoint, signs) if endpoint.command else _http(endpoint, signs)


@asynccontextmanager
async def _stdio(endpoint: Endpoint, signs: TransportState) -> AsyncGenerator[TransportStreams]:
    parameters = StdioServerParameters(
        command=endpoint.command,
        args=list(endpoint.args),
        env=dict(endpoint.env),
        cwd=endpoint.cwd or None,
    )
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as lines, os.fdopen(writing, "w") as errors:
        reader = asyncio.StreamReader()
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), lines
        )
        copying = asyncio.create_task(_copy_to_log(reader, endpoint))
        try:
            async with stdio_client(parameters, errors) as (read, write):
                errors.close()  # the server's own copy is the last: its end is the end
                yield _EndSignallingStream(read, signs), write
            await asyncio.wait([copying], timeout=GOODBYE_SECONDS)
        finally:
            copying.cancel()
            pipe.close()


async def _copy_to_log(reader: asyncio.StreamReader, endpoint: Endpoint) -> None:
    rest = b""
    while chunk := await reader.read(MAX_LINE):
        with suppress(TimeoutError):  # a traceback is written line by line
            async with asyncio.timeout(TOGETHER_SECONDS):
                while len(chunk) < MAX_LINE and (more := await reader.read(MAX_LINE)):
                    chunk += more
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_LINE:
            lines.append(rest)
            rest = b""
        _log(lines, endpoint)
    _log([rest], endpoint)


def _log(lines: Sequence[bytes], endpoint: Endpoint) -> None:
    """Logs the stderr of a server: lines that arrive together are one record, a traceback for instance. The
    number of records a minute is limited."""
    texts = [endpoint.redact(line.decode(errors="replace").rstrip()) for line in lines]
    texts = [line for line in texts if line]
    if texts:
        logger.info("%s: %s", endpoint.label, texts[0], extra={BELOW: texts[1:]})


class _EndSignallingStream:
    """A read stream that signals its end."""

    def __init__(
        self, stream: ReadStream[SessionMessage | Exception], signs: TransportState
    ) -> None:
        self._stream = stream
        self._signs = signs

    async def receive(self) -> SessionMessage | Exception:
        """The next message of the stream; raises the exceptions of the stream."""
        return await self._stream.receive()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> ReadStream[SessionMessage | Exception]:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._signs.end.set()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)


@asynccontextmanager
async def _http(endpoint: Endpoint, signs: TransportState) -> AsyncGenerator[TransportStreams]:
    # No limit on reading: a call's own timeout is the limit.
    timeout = httpx2.Timeout(CONNECT_SECONDS, read=None)
    headers = {"accept-encoding": "identity", **endpoint.headers}
    async with (
        _HttpClient(signs, private=endpoint.private, headers=headers, timeout=timeout) as client,
        streamable_http_client(endpoint.url, http_client=client) as streams,
    ):
        yield streams


class _HttpClient(httpx2.AsyncClient):
    """The error response for a server that cannot be reached, in the form of its protocol."""

    def __init__(self, signs: TransportState, *, private: bool, **options: Any) -> None:
        super().__init__(**options)
        self._signs = signs
        self._private = private

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method == "DELETE":  # the end of a session whose server may be gone
            request.extensions["timeout"] = httpx2.Timeout(GOODBYE_SECONDS).as_dict()
        try:
            response = await self._send(request, **options)
        except OSError as error:
            return _fault(request, error.strerror or type(error).__name__, NOT_SENT)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            return _fault(request, _words(error), NOT_SENT)
        except httpx2.TransportError as error:
            return _fault(request, _words(error), CONNECTION_LOST)
        if "content-encoding" in response.headers:
            await response.aclose()
            return _fault(request, "The server's answer is compressed, unasked.", CONNECTION_LOST)
        if not response.headers.get("content-type", "").lower().startswith(EVENTS):
            response.stream = _BoundedBody(response.stream)
        if response.status_code >= BAD_REQUEST:
            self._signs.error_status = response.status_code
        if response.status_code != NOT_FOUND or MCP_SESSION_ID not in request.headers:
            return response
        self._signs.is_expired = True
        if request.method != "POST":
            return response
        await response.aclose()
        return _fault(request, "The session has expired.", NOT_SENT)

    async def _send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Connect to the addresses that were checked, even if the name resolves to others now. Raises
        `OSError`."""
        if request.method == "POST":
            request.headers.update(self._signs.headers_of(request.content))
        url = request.url
        *first, last = await addresses(url.host, url.port or 0, private=self._private)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        for address in first:
            request.url = url.copy_with(host=address)
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await super().send(request, **options)
        request.url = url.copy_with(host=last)
        return await super().send(request, **options)


class _BoundedBody(httpx2.AsyncByteStream):
    """A body that raises beyond `MAX_BODY` bytes."""

    def __init__(self, stream: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> None:
        self._stream = cast("httpx2.AsyncByteStream", stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > MAX_BODY:
                raise httpx2.StreamError(f"The server's answer has over {MAX_BODY} bytes.")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _words(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__


def _fault(request: httpx2.Request, message: str, data: dict[str, str]) -> httpx2.Response:
    # The SDK replaces our id by the request's own.
    about = {"code": CONNECTION_CLOSED, "message": message, "data": data}
    body = {"jsonrpc": "2.0", "id": 0, "error": about}
    return httpx2.Response(SERVICE_UNAVAILABLE, json=body, request=request)
