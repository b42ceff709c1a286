"""`EventLog` over the shards: each append is a compare-and-set on the run's subject.

The append chain. A run is a subject; a frame is a message on it. A message carries
`Nats-Expected-Last-Subject-Sequence`: the stream sequence of the run's previous message, 0 for none. The
leader of the stream stores it only if that message is still the last one of the subject, otherwise it
answers error 10071 (https://docs.nats.io/reference/jetstream/api/headers, "Expected State Headers"). So
each message names its predecessor, and of two processes that both believe to own a run exactly one append
succeeds: the other is fenced. `claim.py` explains why a lease cannot replace this.

The claim of a run is what this process knows of the end of its log. It is a cache: it saves a request
before each append and refuses what must fail. The stream decides.

A lost reply. A publish without a reply may or may not have been stored, so `_store` retries the same bytes
with the same `Nats-Msg-Id` until a server replies. If the first try was stored, the retry is refused with
10071, because the subject has moved on; then the last message tells: if it has this append's id, the append
succeeded. The id is random. An id computed from run, attempt and number would be equal for two processes
that write the same numbers, and the server would acknowledge the second as a duplicate though it discarded
it (ADR 9).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from tailrace.errors import Fenced, LogError
from tailrace.events.stored import Frame
from tailrace.events.types import Event
from tailrace.log.contract import Listener
from tailrace.log.stores.claim import Claim
from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import ApiError, Client
from tailrace.log.stores.nats.frames import StoredFrame
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.tails import DROPPED, LAG_SECONDS, Tails

WRONG_LAST_SEQUENCE = 10071
"""The subject's last message is not the expected one."""
PLACES = 10_000
"""Maximum number of cached ends of runs and positions of readers: the next append or read need not ask for
them."""
CLOSE_SECONDS = 5.0
"""Time for which appends may wait for a leader while the store closes; no reader has their events."""
READ_SECONDS = 30.0
"""The time for which a read is retried while a shard has no leader: an election takes up to ten seconds."""


class _Claim(Claim):
    """`place` is the position of the run's last message, 0 for none; None until it is known."""

    __slots__ = ("place",)

    def __init__(self, run: str, place: int | None) -> None:
        super().__init__(run)
        self.place = place

    def take(self, end: StoredFrame | None) -> None:
        """The run's end according to its stream."""
        if end is None:
            self.last, self.place = -1, 0
        else:
            self.last, self.place = end.last, end.place
            self.attempt, self.finished = end.attempt, end.ends


class NatsLog:
    """The logs of one installation."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self._claims: OrderedDict[str, _Claim] = OrderedDict()
        self._places: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._read: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._tails = Tails(client, layout)
        self._appends: set[asyncio.Task[None]] = set()

    def append(self, run: str, frame: Frame, *, expected: int, attempt: int) -> Awaitable[None]:
        claim = self._claims.get(run)
        if claim is None:
            claim = self._claims[run] = _Claim(run, 0 if expected < 0 else None)
        elif expected > claim.last and not claim.in_flight:
            claim.place = None  # another process wrote meanwhile: ask for the end of the run
        refusal = claim.refusal(frame, expected, attempt) if claim.place is not None else None
        if claim.in_flight:
            refusal = Fenced(f"another append to {run} is in flight")
        if refusal is not None:
            return _refuse(refusal)
        claim.in_flight = True
        task = asyncio.create_task(self._append(claim, frame, expected, attempt))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)
        return task

    async def read(self, run: str, after: int) -> Sequence[Event]:
        place = self._places.get((run, after), 0)
        while True:
            look = partial(frames.after, self._client, self._layout, run, place)
            slices = await self._client.insist(look, READ_SECONDS)
            for index, stored_frame in enumerate(slices):
                if stored_frame.first > after + 1:
                    gap = f"events {after + 1} to {stored_frame.first - 1} of {run} are gone"
                    raise LogError(f"{gap}: `max_age` of its stream is too short, or it was purged")
                if stored_frame.last > after:
                    return self._slice(run, after, slices[index:])
                place = stored_frame.place
            if not slices and not await self._is_behind(run, place):
                return ()

    def watch(self, run: str, listener: Listener) -> Callable[[], None]:
        claim = self._claims.get(run)
        seq, place = self._read.get(run, (-1, 0))
        if claim is not None and claim.place and claim.place > place:
            seq, place = claim.last, claim.place
        return self._tails.watch(run, listener, seq, place)

    async def open_runs(self) -> Sequence[str]:
        places: list[tuple[int, str]] = []
        for shard in range(self._layout.shards):
            for run in await self._runs(shard):
                end = await self._last(run)
                if end is not None and not end.ends:
                    places.append((end.place, run))
        return [run for _, run in sorted(places)]

    async def drop(self, runs: Sequence[str]) -> None:
        await asyncio.gather(*(self._drop(run) for run in runs))

    async def close(self) -> None:
        """Stop following, and let pending appends end, for a while."""
        self._tails.close()
        if self._appends:
            await asyncio.wait(self._appends, timeout=CLOSE_SECONDS)

    # appending

    async def _append(self, claim: _Claim, frame: Frame, expected: int, attempt: int) -> None:
        try:
            if claim.place is None:
                claim.take(await self._last(claim.run))
                claim.in_flight = False
                refusal = claim.refusal(frame, expected, attempt)
                claim.in_flight = True
                if refusal is not None:
                    raise refusal
            place = await self._store(claim, frame, attempt)
            if claim.dropped:
                await self._purge(claim.run)
                raise Fenced(f"the run {claim.run} was dropped")
        except BaseException:
            claim.in_flight = False
            self._forget(claim)
            raise
        claim.place = place
        claim.land(frame.last, attempt, finished=frame.ends)
        if frame.ends:
            self._forget(claim)
        else:  # other processes may write its end: a serving process starts all runs and ends none
            _remember(self._claims, claim.run, claim)
        stored_frame = StoredFrame(
            place, frame.first, frame.last, attempt, frame.ends, frame.schema, "", frame.body
        )
        self._tails.land(claim.run, stored_frame, frame.events)

    async def _store(self, claim: _Claim, frame: Frame, attempt: int) -> int:
        """Store a frame after the claim's position; returns its own."""
        body, headers = frames.pack(claim.run, frame, attempt, claim.place or 0)
        subject = self._layout.run(claim.run)
        try:
            put = partial(self._client.publish, subject, body, headers)
            return await self._client.insist(put)
        except ApiError as error:
            refusal = error
        # An earlier try may have been stored. Only the last message of the subject can tell; giving up here
        # would report a failure for a frame that readers may see.
        end = await self._client.insist(partial(frames.last, self._client, self._layout, claim.run))
        if end is not None and end.id == headers[frames.ID]:
            return end.place
        if refusal.code != WRONG_LAST_SEQUENCE:
            raise refusal
        where = "nowhere" if end is None else f"at {end.last} of attempt {end.attempt}"
        raise Fenced(f"the log of {claim.run} is {where}")

    def _forget(self, claim: _Claim) -> None:
        if self._claims.get(claim.run) is claim:
            del self._claims[claim.run]

    # reading

    def _slice(self, run: str, after: int, stored_frames: Sequence[StoredFrame]) -> Sequence[Event]:
        events = [event for stored_frame in stored_frames for event in stored_frame.events()]
        end = stored_frames[-1]
        _remember(self._places, (run, end.last), end.place)
        if end.place > self._read.get(run, (-1, 0))[1]:
            _remember(self._read, run, (end.last, end.place))
        return [event for event in events if event.seq > after]

    async def _is_behind(self, run: str, place: int) -> bool:
        """Whether a replica that found nothing may only be behind."""
        end = await self._last(run)
        if end is None or end.place <= place:
            return False
        await asyncio.sleep(LAG_SECONDS)
        return True

    async def _last(self, run: str) -> StoredFrame | None:
        look = partial(frames.last, self._client, self._layout, run)
        return await self._client.insist(look, READ_SECONDS)

    async def _runs(self, shard: int) -> list[str]:
        """Every run of a shard."""
        subjects = f"{self._layout.name}.run.{shard}.*"
        stream = self._layout.runs(shard)
        return [
            name.rsplit(".", 1)[1] for name in await list_subjects(self._client, stream, subjects)
        ]

    # dropping

    async def _drop(self, run: str) -> None:
        claim = self._claims.pop(run, None)
        if claim is not None:
            claim.dropped = True
        self._read.pop(run, None)
        self._tails.drop(run)  # first: no frame may be delivered after it
        await self._purge(run)
        self._client.tell(self._layout.live(run), headers={DROPPED: "1"})

    async def _purge(self, run: str) -> None:
        stream = self._layout.runs(self._layout.shard(run))
        purge = partial(self._client.ask, f"STREAM.PURGE.{stream}", filter=self._layout.run(run))
        await self._client.insist(purge, READ_SECONDS)


async def list_subjects(
    client: Client, stream: str, pattern: str, seconds: float = READ_SECONDS
) -> list[str]:
    """The subjects of a stream that have messages; each page is retried for `seconds`."""
    subjects: list[str] = []
    while True:
        ask = partial(
            client.ask, f"STREAM.INFO.{stream}", subjects_filter=pattern, offset=len(subjects)
        )
        answer = await client.insist(ask, seconds)
        page: dict[str, int] = answer["state"].get("subjects") or {}
        subjects += page
        if not page or len(subjects) >= int(answer.get("total") or 0):
            return subjects


Key = TypeVar("Key")
Value = TypeVar("Value")


def _remember(places: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    places[key] = value
    places.move_to_end(key)
    while len(places) > PLACES:
        places.popitem(last=False)


async def _refuse(refusal: Fenced) -> None:
    raise refusal
