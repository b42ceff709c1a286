"""The invariants, checked against the log itself: it is read from the NATS servers, not through our
processes.

The auditor keeps every frame of a run that it ever saw. Numbers must be gapless, attempts must not write
after a later one, a reader's frames must be those of the log at that number, and at the end the complete
log, read once more, must be the same to the byte.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from tailrace.events import types as t
from tailrace.events.items import Message, text_of
from tailrace.events.state import RunState
from tailrace.events.types import Event
from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client, Unreachable
from tailrace.log.stores.nats.frames import StoredFrame
from tailrace.log.stores.nats.layout import Layout
from tailrace.log.stores.nats.log import list_subjects
from tailrace.log.stores.nats.records import NatsRecords
from tailrace.service.views import view
from tests.soak.clients import Reader, Run, Traffic

PATIENCE_SECONDS = 30.0
"""How long a replica may lack an event that a reader has received."""


class Ledger:
    """One run according to the log."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.stored: list[StoredFrame] = []
        self.state = RunState()
        self._events: list[Event] = []
        self._shown: dict[str, _Shown] = {}

    @property
    def place(self) -> int:
        """The place of the last frame."""
        return self.stored[-1].place if self.stored else 0

    def take(self, stored: StoredFrame) -> None:
        """Add the next frame. Raises `AssertionError`."""
        assert stored.first == self.state.seq + 1, (
            f"{self.run}: {stored.first} after {self.state.seq}"
        )
        assert stored.place > self.place, self.run
        for event in stored.events():
            self.state.apply(event)
            self._events.append(event)
        assert stored.attempt == self.state.attempt, (
            f"{self.run}: attempt {stored.attempt} wrote {stored.first} behind {self.state.attempt}"
        )
        self.stored.append(stored)

    def place_of(self, seq: int) -> int:
        """The place of the frame that holds an event."""
        return next(each.place for each in self.stored if each.first <= seq <= each.last)

    def shown(self, surface: str) -> list[bytes]:
        """All frames of a surface up to the end of the known log."""
        if not self._events:
            return []
        if surface not in self._shown:
            self._shown[surface] = _Shown(surface, self.run, self._events[0])
        return self._shown[surface].frames(self._events)


class _Shown:
    """The log as the frames of one surface."""

    def __init__(self, surface: str, run: str, first: Event) -> None:
        assert isinstance(first.payload, t.RunStarted)
        self._encoder = view(surface, run, first.payload.request).encoders()
        self._frames: list[bytes] = []
        self._seen = 0

    def frames(self, events: Sequence[Event]) -> list[bytes]:
        fresh, self._seen = events[self._seen :], len(events)
        if fresh and not self._encoder.done:
            self._frames += self._encoder.encode(fresh)
        return self._frames


class Auditor:
    """Reads the logs of all runs over a connection of its own."""

    def __init__(self, client: Client, layout: Layout, traffic: Traffic) -> None:
        self.ledgers: dict[str, Ledger] = {}
        self._client = client
        self._layout = layout
        self._traffic = traffic

    async def check(self, readers: Iterable[Reader]) -> int:
        """Each reader received the frames of the log, without a gap or a duplicate; returns their number."""
        found = await asyncio.gather(*(self._check(reader) for reader in readers))
        return sum(found)

    async def _check(self, reader: Reader) -> int:
        ledger = self.ledgers.setdefault(reader.run, Ledger(reader.run))
        got = len(reader.frames)
        shown = ledger.shown(reader.surface)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(shown) < got:
                if not await self._read(ledger):
                    await asyncio.sleep(0.2)
                shown = ledger.shown(reader.surface)
        begin, reader.checked = reader.checked, max(got, reader.checked)
        assert reader.frames[begin:got] == shown[begin:got], f"{reader.run} as {reader.surface}"
        return reader.checked - begin

    async def _read(self, ledger: Ledger) -> bool:
        """Read the new frames of a run, from any replica; returns whether there were any."""
        before = ledger.place
        look = frames.after(self._client, self._layout, ledger.run, before)
        try:
            found = await look
        except Unreachable:
            return False
        for stored in found:
            if (
                stored.place > ledger.place
            ):  # two readers of one run may be checked at the same time
                ledger.take(stored)
        return bool(found)

    async def stored_before(self, moment: float, shown: Mapping[Reader, Sequence[bytes]]) -> int:
        """Checks that a leader took the messages of these frames of native readers, which `check` has
        accepted, before `moment` in the sense of `time.time`; returns the number of messages."""
        messages = {
            (reader.run, self.ledgers[reader.run].place_of(seq_of(frame)))
            for reader, new in shown.items()
            for frame in new
        }
        for run, place in messages:
            taken = await self._client.insist(partial(self._taken, run, place))
            assert taken < moment, f"{run}: {place} was shown without a quorum, {taken - moment} s"
        return len(messages)

    async def _taken(self, run: str, place: int) -> float:
        """The time at which the leader of that time took the message at `place`, by its clock."""
        stream = self._layout.runs(self._layout.shard(run))
        answer = await self._client.ask(f"STREAM.MSG.GET.{stream}", seq=place)
        return datetime.fromisoformat(answer["message"]["time"]).timestamp()

    async def whole(self, run: Run) -> None:
        """Checks a run that is over: it has ended, and another server shows the same bytes as each reader
        received."""
        for reader in run.readers:
            again = Reader(self._traffic, run.id, reader.surface)
            again.last, again.connections = reader.last, 1
            await again.follow()
            assert again.frames == reader.frames, f"{run.id} as {reader.surface}, read again"
        await self.check(run.readers)
        ledger = self.ledgers[run.id]
        while not ledger.state.is_finished:
            await self._read(ledger)
        assert isinstance(ledger.state.end, t.RunCompleted), f"{run.id} ended as {ledger.state.end}"
        said = ledger.state.start_request().input[0]
        assert isinstance(said, Message)
        assert text_of(said.content) == run.text
        assert len(ledger.state.resumptions) >= run.answers, f"{run.id}: an answer is lost"

    async def everything(self, runs: Sequence[Run]) -> None:
        """Checks all logs once more from the first frame, and that there are no others."""
        for run in runs:
            again = Ledger(run.id)
            while await self._client.insist(partial(self._after, again)):
                pass
            assert again.stored == self.ledgers[run.id].stored, f"{run.id}: the log changed"
        logs: set[str] = set()
        for shard in range(self._layout.shards):
            pattern = f"{self._layout.name}.run.{shard}.*"
            logs |= {*await list_subjects(self._client, self._layout.runs(shard), pattern)}
        found = {name.rsplit(".", 1)[1] for name in logs}
        told = {run.id for run in runs}
        assert found >= told
        records = NatsRecords(self._client, self._layout)
        for other in found - told:  # its server died, or was cut off, before any client had its id
            end = await frames.last(self._client, self._layout, other)
            if end is None or end.last < 0:
                continue  # it was barred (`runs/barrier.py`)
            assert await records.get("runs", other) is None, f"{other}: two runs for one request"

    async def _after(self, ledger: Ledger) -> bool:
        found = await frames.after(self._client, self._layout, ledger.run, ledger.place)
        for stored in found:
            ledger.take(stored)
        return bool(found)

    def tell(self, run: Run) -> str:
        """Describes a run that should have ended."""
        ledger = self.ledgers[run.id]
        got = ", ".join(
            f"{reader.surface} {len(reader.frames)} of {len(ledger.shown(reader.surface))}"
            f"{' done' if reader.done else ''}"
            for reader in run.readers
        )
        return (
            f"{run.id} ({run.text}) is {ledger.state.phase} at {ledger.state.seq} "
            f"of attempt {ledger.state.attempt}; readers: {got}"
        )

    def attempts(self) -> Counter[int]:
        """The number of runs for each number of attempts."""
        return Counter(ledger.state.attempt for ledger in self.ledgers.values())


def seq_of(frame: bytes) -> int:
    """The number of the event that a frame of a native stream shows."""
    return next(int(line[4:]) for line in frame.split(b"\n") if line.startswith(b"id: "))


def effects_once(effects: Path) -> int:
    """No order took effect twice; returns the number of orders."""
    lines = effects.read_text(encoding="utf-8").splitlines()
    orders = Counter(line for line in lines if line.startswith("order "))
    twice = [line for line, count in orders.items() if count > 1]
    assert not twice, f"made twice: {twice}"
    return len(orders)
