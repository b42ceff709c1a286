"""Requests, publishes and subscriptions over nats-py, and their retries.

The library's exceptions become two. `Unreachable`: it is unknown whether the operation happened (no leader,
no quorum, no connection, no answer in time). `ApiError`: the server's error, by its code. The pitfalls of
the library that determine this file are in docs/adr/0009-nats.md.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import nats.errors
from nats.aio.msg import Msg

from tailrace.errors import LogError
from tailrace.log.stores.nats.addresses import must_be_encrypted, redact
from tailrace.log.stores.nats.connection import NatsConnection

logger = logging.getLogger("tailrace.log.nats")

CONNECT_SECONDS = 5.0
"""Time limit of the first connection."""
PING_SECONDS = 2
"""A server that does not answer is left after three of these; with 5 it took 18 s, and all requests waited
so long."""
REPLY_SECONDS = 2.0
"""Time limit of one request."""
RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits between tries; the last one repeats. Shorter ones only load servers that elect a leader."""
IN_PROCESS = frozenset({10158, 10164})
"""Codes for an equal or earlier message that is still in progress: a retry is needed, it is not a fence."""
FULL = frozenset({10002, 10023, 10028, 10047})
"""Codes for exhausted storage: a retry does not help."""
TOO_LARGE = 10054
ABOUT_ME = "$SYS.REQ.USER.INFO"
"""A request to the server that every user may send."""
NO_RIGHT = 403
"""Our code: the server reports a missing right to the connection, and does not answer the request."""
_VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
"""In lower case, as the library gives it; so is the subject."""
DENIALS = 1_000
"""Maximum number of remembered subjects that were denied: those of pending requests."""
SILENT_SECONDS = 5.0
"""The time after which a wait for an answer is logged, and the interval of further log lines."""
OLDEST = (2, 11, 0)
"""The oldest supported version: the first that answers one request with many messages; those before 2.10.23
also lost acknowledged ones."""

Result = TypeVar("Result")
Headers = Mapping[str, str]
OnMessage = Callable[[Headers, bytes], None]


class Absent(LogError):
    """No server answers."""


class Unreachable(LogError):
    """No answer: the operation may have happened or not."""


class ApiError(LogError):
    """The server's error, with its code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


class _Fault(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Fault | None = None


class _Server(msgspec.Struct):
    time: datetime


class _About(msgspec.Struct):
    server: _Server


class Client:
    """A connection that reconnects until it is closed."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._connection = NatsConnection()
        self._closed = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._trouble = ""
        self._complaint_time = 0.0
        self._denials: dict[str, float] = {}
        """Subjects to which the user may not publish, with the time of the last report."""
        self._deaf = False
        """The user may not subscribe to answers, as reported since the last answer."""
        self.version = (0, 0, 0)
        """The version of the server of the first connection."""

    async def open(self) -> None:
        """Connect. Raises `Absent` if no server answers in time, `LogError` if it is too old."""
        where = ", ".join(map(redact, self._servers))
        await asyncio.gather(*(must_be_encrypted(each, CONNECT_SECONDS) for each in self._servers))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):  # the library would retry without end
                await self._connection.connect(
                    servers=self._servers,
                    error_cb=self._report,
                    connect_timeout=2,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds, as any number
                    max_reconnect_attempts=-1,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=2,
                )
        except (OSError, TimeoutError, nats.errors.Error) as error:
            await self.close()
            why = self._trouble or str(error) or "time-out"
            raise Absent(f"no NATS server answers at {where}: {why}") from error
        version = self._connection.connected_server_version
        self.version = (version.major, version.minor, version.patch)
        if self.version < OLDEST:
            await self.close()
            actual, oldest = (".".join(map(str, each)) for each in (self.version, OLDEST))
            raise LogError(
                f"the NATS server at {where} is {actual}: {oldest} is the oldest that will do"
            )

    async def close(self) -> None:
        """Close the connection; operations in progress raise `LogError`."""
        self._closed.set()
        with suppress(nats.errors.Error):
            await self._connection.close()

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected now."""
        return self._connection.is_connected

    @property
    def max_payload(self) -> int:
        """The server's limit for the bytes of one message."""
        return self._connection.max_payload

    async def insist(
        self, work: Callable[[], Awaitable[Result]], seconds: float | None = None
    ) -> Result:
        """Repeat `work` until there is an answer; for `seconds` at most, or without a limit.

        Raises `LogError` when the time is over or the client is closed.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        deadline = None if seconds is None else start + seconds
        task = asyncio.current_task()
        cancelled = 0 if task is None else task.cancelling()
        tries = 0
        while True:
            try:
                if self._closed.is_set():
                    raise LogError("the store is closed")
                return await work()
            except Unreachable as error:
                if task is not None and task.cancelling() > cancelled:
                    # Python 3.11's `wait_for` loses a cancellation that comes together with the answer.
                    raise asyncio.CancelledError from error
                if deadline is not None and loop.time() > deadline:
                    raise LogError(f"the engine does not answer: {error}") from error
                if loop.time() > max(start, self._complaint_time) + SILENT_SECONDS:
                    self._complaint_time = loop.time()
                    logger.warning("NATS does not answer, still trying: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]):
                    await self._closed.wait()
            tries += 1

    async def request(self, subject: str, body: bytes = b"", headers: Headers | None = None) -> Msg:
        """One request, one answer. Raises `Unreachable`, and `ApiError` when it is too large."""
        sent_headers, start = dict(headers) if headers else None, asyncio.get_running_loop().time()
        if len(body) > self.max_payload:
            size = f"a message of {len(body)} bytes is more than the servers allow"
            raise ApiError(TOO_LARGE, f"{size} (`max_payload`: {self.max_payload})")
        try:
            answer = await self._connection.request(
                subject, body, REPLY_SECONDS, headers=sent_headers
            )
        except (TimeoutError, nats.errors.Error) as error:
            raise self._no_answer(subject, start, error) from error
        self._deaf = False
        return answer

    async def first(self, subject: str, body: bytes) -> Msg:
        """One request whose answer keeps the subject it was stored under, as pulled messages do; `request`
        finds its answers by their subject. Raises `Unreachable`, `ApiError`."""
        loop = asyncio.get_running_loop()
        start, answer = loop.time(), loop.create_future()

        async def on_message(message: Msg) -> None:
            if not answer.done():
                answer.set_result(message)

        inbox = self._connection.new_inbox()
        stop = await self._subscribe(inbox, on_message)
        try:
            await self._connection.publish(subject, body, reply=inbox)
            async with asyncio.timeout(REPLY_SECONDS):
                message: Msg = await answer
                return message
        except (TimeoutError, nats.errors.Error) as error:
            raise self._no_answer(subject, start, error) from error
        finally:
            await stop()

    async def ask(self, method: str, **fields: Any) -> dict[str, Any]:
        """A request to JetStream's API. Raises `Unreachable`, `ApiError`."""
        message = await self.request(f"$JS.API.{method}", msgspec.json.encode(fields))
        answer: dict[str, Any] = msgspec.json.decode(message.data)
        if "error" in answer:
            raise _fault(msgspec.convert(answer["error"], _Fault))
        return answer

    async def publish(self, subject: str, body: bytes, headers: Headers) -> int:
        """Store a message; returns its position in the stream. Raises `Unreachable`, `ApiError`."""
        message = await self.request(subject, body, headers)
        ack = msgspec.json.decode(message.data, type=_Ack)
        if ack.error is not None:
            raise _fault(ack.error)
        return ack.seq

    async def call(self, subject: str, body: bytes, seconds: float) -> bytes | None:
        """Send a request to the listeners of a subject; None if there are none. Raises `Unreachable`,
        `ApiError`."""
        start = asyncio.get_running_loop().time()
        try:
            return (await self._connection.request(subject, body, seconds)).data
        except nats.errors.NoRespondersError:
            return None
        except (TimeoutError, nats.errors.Error) as error:
            raise self._no_answer(subject, start, error) from error

    async def answer(
        self, subject: str, respond: Callable[[bytes], Awaitable[bytes | None]]
    ) -> Callable[[], Awaitable[None]]:
        """Answer the requests on a subject; returns a function that stops it. Raises `Unreachable`."""

        async def on_message(message: Msg) -> None:
            # one task each: a slow response must not delay the next
            task = asyncio.create_task(on_request(message))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

        async def on_request(message: Msg) -> None:
            data = await respond(message.data)
            if data is not None:
                with suppress(nats.errors.Error):
                    await message.respond(data)

        return await self._subscribe(subject, on_message)

    def tell(self, subject: str, body: bytes = b"", headers: Headers | None = None) -> None:
        """Send a message to the current listeners, without an acknowledgement."""
        task = asyncio.ensure_future(
            self._connection.publish(subject, body, headers=dict(headers) if headers else None)
        )
        task.add_done_callback(_nobody_answers)

    async def listen(self, subject: str, on_message: OnMessage) -> Callable[[], Awaitable[None]]:
        """Call `on_message` with each message on a subject; returns a function that stops it. Raises
        `Unreachable`."""

        async def on_raw_message(message: Msg) -> None:
            on_message(message.headers or {}, message.data)

        return await self._subscribe(subject, on_raw_message)

    async def _subscribe(
        self, subject: str, on_message: Callable[[Msg], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        try:
            subscription = await self._connection.subscribe(subject, cb=on_message)  # pyright: ignore[reportUnknownMemberType]
        except nats.errors.Error as error:
            raise Unreachable(f"{type(error).__name__} at {subject}") from error

        async def stop() -> None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

        return stop

    async def flush(self) -> None:
        """Wait until the server has received all earlier messages. Raises `Unreachable`.

        The library's own flush overtakes pending writes; a request that every user may send waits its turn.
        """
        await self.request(ABOUT_ME)

    async def time(self) -> int:
        """The server's clock, in milliseconds since the epoch. Raises `Unreachable`."""
        about = msgspec.json.decode((await self.request(ABOUT_ME)).data, type=_About)
        return int(about.server.time.timestamp() * 1000)

    async def gather(
        self, subject: str, body: bytes, ends: Callable[[Headers], bool]
    ) -> list[tuple[Headers, bytes]]:
        """A request with many answers, up to the one for which `ends` returns true, which is omitted.

        `ends` may raise `Unreachable`, and so does this; also `ApiError`.
        """
        messages: list[tuple[Headers, bytes]] = []
        start = asyncio.get_running_loop().time()
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_message(headers: Headers, data: bytes) -> None:
            try:
                last = ends(headers)
            except Unreachable as error:
                if not outcome.done():
                    outcome.set_exception(error)
                return
            if not last:
                messages.append((headers, data))
            elif not outcome.done():
                outcome.set_result(None)

        inbox = self._connection.new_inbox()
        stop = await self.listen(inbox, on_message)
        try:
            await self._connection.publish(subject, body, reply=inbox)
            async with asyncio.timeout(REPLY_SECONDS * 2):
                await outcome
        except (TimeoutError, nats.errors.Error) as error:
            raise self._no_answer(subject, start, error) from error
        finally:
            await stop()
        return messages

    async def _report(self, error: Exception) -> None:
        """A report of the library. Each try of an unavailable server causes one."""
        if violation := _VIOLATION.search(str(error)):
            self._deny(*violation.groups())
            return
        before, self._trouble = self._trouble, str(error) or type(error).__name__
        if self._trouble != before and self._connection.is_reconnecting:
            logger.warning("NATS: %s", self._trouble)

    def _deny(self, what: str, subject: str) -> None:
        """The server has reported that the user lacks a right."""
        now = asyncio.get_running_loop().time()
        if what == "publish":
            self._denials.pop(subject, None)
            self._denials[subject] = now
            if len(self._denials) > DENIALS:
                del self._denials[next(iter(self._denials))]
        elif subject.startswith("_inbox."):
            self._deaf = True
        verb = "publish" if what == "publish" else "subscribe"
        logger.error("NATS: this user has no right to %s to %s (deploy/README.md)", verb, subject)

    def _no_answer(self, subject: str, start: float, error: Exception) -> LogError:
        """The reason why a request since `start` got no answer."""
        if self._denials.get(subject.lower(), -1.0) >= start:
            return ApiError(NO_RIGHT, f"the NATS user has no right to publish to {subject}")
        if self._deaf:
            return ApiError(NO_RIGHT, "the NATS user has no right to subscribe to _INBOX.>")
        return Unreachable(f"{type(error).__name__} at {subject}")


def _fault(fault: _Fault) -> LogError:
    if fault.err_code in FULL:
        why = f"the servers have no room left for streams (`max_file`): {fault.description}"
        return ApiError(fault.err_code, why)
    if fault.code == 503 or fault.err_code in IN_PROCESS:
        return Unreachable(fault.description)
    return ApiError(fault.err_code, fault.description)


def _nobody_answers(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.debug("notification failed: %s", task.exception())
