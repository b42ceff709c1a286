"""Bodies in chunks of a few bytes: such a chunk costs as much as a chunk of kilobytes."""

from __future__ import annotations

import pytest

from tailrace.http import intake
from tailrace.http.uvicorn_protocol import Protocol
from tests.http.test_uvicorn_protocol import READ, Fed
from tests.support.hostile import JOB

REAL_READ = 262_144


@pytest.mark.parametrize("size", [1, 2, 10, 30])
async def test_a_body_in_crumbs_is_refused_in_the_middle_of_a_read(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A chunk has the same cost for any size: one read can contain 43,000 chunks of one byte, and these
    delayed all other clients."""
    found: list[int] = []
    heard = Protocol.on_body

    def counting(self: Protocol, body: bytes) -> None:
        found.append(len(body))
        heard(self, body)

    monkeypatch.setattr(Protocol, "on_body", counting)
    crumb = b"%x\r\n%b\r\n" % (size, b"x" * size)
    one = Fed()
    one.protocol.data_received(JOB + crumb * (REAL_READ // len(crumb)))
    await one.settle()
    one.end()
    assert len(found) <= intake.CHUNKS + sum(found) // intake.LEAST_BYTES + 1
    assert one.wire.told.startswith(b"HTTP/1.1 4"), "too many chunks, or too large meanwhile"


async def test_a_client_that_sends_small_chunks_is_served() -> None:
    body = b"".join(b"1\r\nx\r\n" for _ in range(1_000)) + b"40\r\n%b\r\n" % (b"y" * 64) * 4_000
    one = Fed()
    await one.feed(JOB + body + b"0\r\n\r\n", READ)
    one.end()
    assert b"HTTP/1.1 400 " not in one.wire.told
