"""A message that is not what was stored is refused by the run's name; one without a sum is of a version that
made none."""

from __future__ import annotations

import pytest

from tailrace.errors import Damaged
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.stores.nats import frames
from tests.contracts.log_contract import ENDED, RUN

LONG = [Event(n, 1, "n", "MAIN", t.TextDelta(0, "x" * 900)) for n in range(100)]


@pytest.mark.parametrize("events", [ENDED, LONG], ids=["plain", "compressed"])
def test_each_changed_bit_of_a_frame_is_found(events: list[Event]) -> None:
    body, headers = frames.pack(RUN, frame(events), 1, 0)
    assert frames.unpack(headers, body, 7).events() == events
    for place in range(0, len(body), max(len(body) // 50, 1)):
        changed = body[:place] + bytes([body[place] ^ 1 << place % 8]) + body[place + 1 :]
        with pytest.raises(Damaged, match=f"run_{RUN}"):
            frames.unpack(headers, changed, 7)


def test_what_a_frame_says_of_itself_is_summed_too() -> None:
    body, headers = frames.pack(RUN, frame(ENDED), 1, 0)
    first, *rest = headers[frames.ABOUT].split()
    changed = {**headers, frames.ABOUT: " ".join([str(int(first) ^ 4), *rest])}
    with pytest.raises(Damaged):
        frames.unpack(changed, body, 7)


def test_a_frame_of_an_earlier_version_has_no_sum_and_is_read() -> None:
    body, headers = frames.pack(RUN, frame(ENDED), 1, 0)
    del headers[frames.SUM]
    assert frames.unpack(headers, body, 7).events() == ENDED
