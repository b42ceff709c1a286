"""A message that differs from the stored one is refused with the run's name; one without a sum is from a
version that made none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tailrace.errors import Damaged
from tailrace.events import types as t
from tailrace.events.stored import frame
from tailrace.events.types import Event
from tailrace.log.contract import new
from tailrace.log.stores.nats import frames
from tailrace.log.stores.nats.client import Client
from tests.contracts.log_contract import ENDED, RUN
from tests.support import nats_stores
from tests.support.nats_servers import cluster

LONG = [Event(n, 1, "n", "MAIN", t.TextDelta(0, "x" * 900)) for n in range(100)]


@pytest.mark.parametrize("events", [ENDED, LONG], ids=["plain", "compressed"])
def test_each_changed_bit_of_a_frame_is_found(events: list[Event]) -> None:
    body, headers = frames.pack(RUN, frame(events), 1, 0)
    assert frames.unpack(headers, body, 7).events() == events
    for place in range(0, len(body), max(len(body) // 50, 1)):
        changed = body[:place] + bytes([body[place] ^ 1 << place % 8]) + body[place + 1 :]
        with pytest.raises(Damaged, match=f"run_{RUN}"):
            frames.unpack(headers, changed, 7)


def test_the_checksum_covers_a_frames_own_fields() -> None:
    body, headers = frames.pack(RUN, frame(ENDED), 1, 0)
    first, *rest = headers[frames.ABOUT].split()
    changed = {**headers, frames.ABOUT: " ".join([str(int(first) ^ 4), *rest])}
    with pytest.raises(Damaged):
        frames.unpack(changed, body, 7)


def test_a_frame_of_an_earlier_version_has_no_sum_and_is_read() -> None:
    body, headers = frames.pack(RUN, frame(ENDED), 1, 0)
    del headers[frames.SUM]
    assert frames.unpack(headers, body, 7).events() == ENDED


async def test_each_way_to_write_a_record_sums_it(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as nodes:
        layout = await nats_stores.installation(nodes)
        store = nats_stores.store(nodes, layout)
        await store.open()
        await store.records.put("bucket", "put", b"value", expires=7)
        await store.records.change(new("bucket", "changed", b"value", expires=7))
        begun = new("bucket", "begun", b"value")
        await store.begin(RUN, frame(ENDED), before=[], beside=[begun])
        client = Client([node.url for node in nodes])
        await client.open()
        for key in ("put", "changed", "begun"):
            subject, stream = layout.record("bucket", key), layout.stream("RECORDS")
            message = await frames.last_message(client, stream, subject)
            assert message is not None
            assert msgspec.msgpack.decode(message[2])[3], f"{key} has a checksum"
        await client.close()
        await store.close()
