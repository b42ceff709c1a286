"""`WorkQueue` over a work queue stream and plain requests.

The lease of a job is the consumer's `ack_wait`: JetStream delivers a message again when it was not
acknowledged for that long, and a worker extends it by `+WPI`, "work in progress"
(https://docs.nats.io/nats-concepts/jetstream/consumers, AckWait and acknowledgement types). A lease only
decides who tries: a worker that was frozen may still run after it. The right to write is decided by the
append chain (`log.py`), so two workers of one run cost work, never a wrong log. The message is removed
(`+ACK`) when the run has ended or waits, and only then.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from tailrace.log.stores.nats.client import Client, Unreachable
from tailrace.log.stores.nats.frames import ID, description
from tailrace.log.stores.nats.layout import SECOND, WORKERS, Layout
from tailrace.log.work import Job, Respond

TAKE_SECONDS = 1.5
"""How long one request for a job stays open; shorter than the time limit of a request."""
SAY_SECONDS = 10.0
"""How long a worker retries a message about its job."""


class NatsJob:
    """A delivered message."""

    def __init__(self, client: Client, run: str, after: int, reply: str) -> None:
        self.run = run
        self.after = after
        # $JS.ACK.….<delivered>.<stream>.<consumer>.<time>.<left>
        tokens = reply.split(".")
        self.deliveries = int(tokens[-5])
        self._client = client
        self._reply = reply

    async def beat(self) -> None:
        await self._client.request(self._reply, b"+WPI")

    async def acknowledge(self) -> None:
        await self._client.insist(partial(self._client.request, self._reply, b"+ACK"), SAY_SECONDS)

    async def give_back(self, seconds: float = 0.0) -> None:
        delay = msgspec.json.encode({"delay": int(seconds * SECOND)})
        say = partial(self._client.request, self._reply, b"-NAK " + delay)
        await self._client.insist(say, SAY_SECONDS)


class NatsWork:
    """The jobs and calls of one installation."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self.lease = layout.lease
        self._client = client
        self._layout = layout
        self._stream = layout.stream("JOBS")

    async def offer(self, run: str, after: int = -1) -> None:
        subject, name = self._layout.job(run), {ID: secrets.token_hex(8)}
        say = partial(self._client.publish, subject, b"%d" % after, name)
        await self._client.insist(say, SAY_SECONDS)

    async def take(self) -> Job | None:
        question = msgspec.json.encode({"batch": 1, "expires": int(TAKE_SECONDS * SECOND)})
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{WORKERS}"
        message = await self._client.first(subject, question)
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in ("404", "408"):
            return None
        if status:
            raise Unreachable(f"no jobs: {description(headers)}")
        run = message.subject.rsplit(".", 1)[1]
        return NatsJob(self._client, run, int(message.data), message.reply)

    async def call(self, name: str, body: bytes, seconds: float) -> bytes | None:
        return await self._client.call(self._layout.call(name), body, seconds)

    async def answer(self, name: str, respond: Respond) -> Callable[[], Awaitable[None]]:
        client = self._client
        stop_answering = await client.insist(
            lambda: client.answer(self._layout.call(name), respond), SAY_SECONDS
        )
        await client.insist(client.flush, SAY_SECONDS)

        async def stop() -> None:
            await stop_answering()
            await client.insist(client.flush, SAY_SECONDS)

        return stop

    async def ahead(self, now: int) -> int:
        return now - await self._client.insist(self._client.time, SAY_SECONDS)
