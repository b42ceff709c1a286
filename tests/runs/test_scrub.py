"""The report of a scrub about logs and records that do not agree, do not fold, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pytest

from tailrace.errors import Damaged
from tailrace.events import types as t
from tailrace.events.types import Event
from tailrace.log.contract import Record
from tailrace.runs import directory
from tailrace.runs.directory import RunRecord
from tailrace.runs.scrub import scrub
from tests.contracts.log_contract import ENDED

GOOD = RunRecord(run="good", agent="a", surface="chat", tenant="t", status="completed")
BROKEN = [*ENDED[:3], Event(3, 1, "", "", t.ItemStarted(0, "message")), *ENDED[4:]]


class Kept:
    """Logs and records that a test defines; `stored_wrong` are the faults that the engine finds itself."""

    stored_wrong: Sequence[str] = ()

    def __init__(self, logs: dict[str, Sequence[Event] | None], records: dict[str, bytes]) -> None:
        self._logs = logs
        self._records = records

    def faults(self) -> Iterator[str]:
        yield from self.stored_wrong

    def runs(self) -> Sequence[str]:
        return list(self._logs)

    async def read(self, run: str, after: int) -> Sequence[Event]:
        events = self._logs.get(run, ())
        if events is None:
            raise Damaged("it is damaged")
        return events[after + 1 :]

    async def scan(self, bucket: str, *, after: str = "") -> Sequence[Record]:
        return [
            Record(key, value, 1) for key, value in sorted(self._records.items()) if key > after
        ]


def _record(**fields: str) -> bytes:
    return directory.SHAPE.encode(msgspec.structs.replace(GOOD, **fields))


CASES: list[tuple[str, Sequence[Event] | None, bytes | None, str]] = [
    ("good", ENDED, _record(), ""),
    ("under way", ENDED[:4], _record(status="in_progress"), ""),
    ("not begun", [], _record(status="in_progress"), ""),
    ("expired", [], _record(status="expired"), ""),
    ("no log", [], _record(), "it has no log"),
    ("no record", ENDED, None, "a log and no record"),
    ("another end", ENDED, _record(status="failed"), "its record says 'failed'"),
    ("no end", ENDED[:4], _record(), "its record says 'completed'"),
    ("no grammar", BROKEN, _record(), "breaks the grammar behind event 2"),
    ("damaged", None, _record(), "cannot be read behind event -1"),
    ("rubbish", ENDED, b"\xff", "records row 'runs'"),
    ("newer", ENDED, b'{"v":99}', "written by a newer tailrace"),
]


@pytest.mark.parametrize(("name", "log", "record", "said"), CASES, ids=[case[0] for case in CASES])
async def test_each_fault_is_named_with_its_run(
    name: str, log: Sequence[Event] | None, record: bytes | None, said: str
) -> None:
    kept = Kept({name: log}, {} if record is None else {name: record})
    readers = {directory.BUCKET: directory.SHAPE.decode}
    found = [sentence async for sentence in scrub(kept, readers)]
    if not said:
        assert not found
    else:
        assert said in found[0]
        assert name in found[0]


async def test_what_the_engine_finds_by_itself_comes_first() -> None:
    kept = Kept({"no record": ENDED}, {})
    kept.stored_wrong = ["a page is damaged"]
    found = [sentence async for sentence in scrub(kept, {})]
    assert found == ["a page is damaged", "run no record: it has a log and no record"]
