"""The size limit of a model's reply, whatever makes the reply large, and how much of a larger reply is
kept."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
import zstandard

from tailrace.config import parse
from tailrace.errors import LimitReached, ModelFailed
from tailrace.events import types as t
from tailrace.events.request import ModelRequest
from tailrace.models.bounded import BoundedModel, ReplyBounds
from tailrace.models.http import HttpModel, ModelServer, Sessions, Timeouts
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_media.images import ImagesCodec
from tests.models.test_http import ASKED, REPLY, answers
from tests.support.upstreams import HEAD, Peer, Serve, upstream


class Says:
    """A model that sends the same payloads without end."""

    name = "m"

    def __init__(self, *payloads: t.Payload) -> None:
        self._payloads = payloads
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        try:
            while True:
                yield self._payloads
        finally:
            self.closed = True

    async def close(self) -> None:
        pass


BOUNDS = ReplyBounds(events=100, text_bytes=1000)
DELTAS: dict[str, tuple[t.Payload, str, int]] = {
    "text": (t.TextDelta(0, "a" * 30), "max_reply_bytes", 33),
    "text of three bytes a letter": (t.TextDelta(0, "語" * 30), "max_reply_bytes", 11),
    "reasoning": (t.ReasoningDelta(0, "a" * 30), "max_reply_bytes", 33),
    "summaries": (t.ReasoningSummaryDelta(0, "a" * 30), "max_reply_bytes", 33),
    "refusals": (t.RefusalDelta(0, "a" * 30), "max_reply_bytes", 33),
    "arguments": (t.ArgumentsDelta(0, "a" * 30), "max_reply_bytes", 33),
    "nothing": (t.TextDelta(0, ""), "max_reply_events", 100),
    "items": (t.ItemStarted(0, "message"), "max_reply_events", 100),
    "pictures": (t.ImagePartial(0, "", "image/png"), "max_reply_events", 100),
}


@pytest.mark.parametrize("many", [1, 7])
@pytest.mark.parametrize("case", DELTAS)
async def test_a_reply_is_kept_up_to_its_bound(case: str, many: int) -> None:
    payload, reason, count = DELTAS[case]
    model = Says(*[payload] * many)
    kept: list[t.Payload] = []
    reached = ""
    try:
        async for payloads in BoundedModel(model, BOUNDS).stream(ASKED):
            kept += payloads
    except LimitReached as limit:
        reached = limit.reason
    assert reached == reason
    assert len(kept) == count
    assert model.closed


async def test_no_bound_is_none() -> None:
    model = BoundedModel(Says(t.TextDelta(0, "a")), ReplyBounds(events=0, text_bytes=0))
    found = 0
    async for _ in model.stream(ASKED):
        found += 1
        if found > 300_000:
            break


def test_every_configured_model_is_bounded_by_default() -> None:
    reply = parse("").limits.reply
    assert (reply.bytes, reply.events, reply.text_bytes) == (64 << 20, 250_000, 8 << 20)
    assert parse("[limits.reply]\nbytes = 0").limits.reply.bytes == 0


def model(url: str, codec: UpstreamCodec | None = None, most: int = 100_000) -> HttpModel:
    timeouts = Timeouts(5, 5, 5)
    return HttpModel(
        "m",
        codec or ChatCodec(),
        Sessions(),
        ModelServer(
            base_url=url,
            model="up",
            headers={},
            timeouts=timeouts,
            retries=0,
            most_bytes=most,
        ),
    )


async def heard(served: Serve, codec: UpstreamCodec | None = None) -> list[t.Payload]:
    made: list[t.Payload] = []
    async with upstream(served) as (url, peers):
        asked = model(url, codec)
        try:
            async for batch in asked.stream(ASKED):
                made += batch
        finally:
            await asked.close()
        assert b"accept-encoding: identity" in peers[0].head.lower()
    return made


def coded(coding: str, body: bytes) -> Serve:
    head = HEAD.replace(b"\r\n\r\n", f"\r\ncontent-encoding: {coding}\r\n\r\n".encode())
    return answers(head + body)


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", WAYS)
async def test_an_unrequested_compression_is_decoded(coding: str) -> None:
    made = await heard(coded(coding, WAYS[coding](REPLY)))
    assert made == await heard(answers(HEAD + REPLY))
    assert any(isinstance(payload, t.Usage) for payload in made)


BOMB = b": " + b" " * 30_000_000 + b"\n\n"


@pytest.mark.parametrize("coding", WAYS)
async def test_what_unpacks_to_much_is_read_no_further(coding: str) -> None:
    served = coded(coding, WAYS[coding](BOMB))
    tracemalloc.start()
    with pytest.raises((ModelFailed, LimitReached)):
        await heard(served)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "x"])
async def test_a_coding_that_is_not_read_fails_by_its_name(coding: str) -> None:
    with pytest.raises(ModelFailed, match=coding):
        await heard(coded(coding, b"something"))


async def test_a_body_that_is_not_of_its_coding_fails() -> None:
    with pytest.raises(ModelFailed, match="not encoded as it says") as failed:
        await heard(coded("gzip", b"something"))
    assert (failed.value.status, failed.value.code) == (502, "upstream_invalid_response")


@pytest.mark.parametrize("piece", [b": still here\n\n", b"\n", b"data: {}\n\n"])
async def test_bytes_without_content_count_too(piece: bytes) -> None:
    async def for_ever(peer: Peer) -> None:
        await peer.send(HEAD)
        while True:
            await peer.send(piece * 1_000)

    with pytest.raises(LimitReached, match="max_reply_bytes"):
        await heard(for_ever)


async def test_a_document_counts_too() -> None:
    async def for_ever(peer: Peer) -> None:
        await peer.send(HEAD + b'{"data": [{"b64_json": "')
        while True:
            await peer.send(b"A" * 10_000)

    with pytest.raises(LimitReached, match="max_reply_bytes"):
        await heard(for_ever, ImagesCodec())


@pytest.mark.parametrize("event", [b"[" * 900 + b"]" * 900, b"[" + b"0," * 300_000 + b"0]"])
async def test_an_event_is_neither_deep_nor_full(event: bytes) -> None:
    served = answers(HEAD + b'data: {"x": ' + event + b"}\n\n" + REPLY)
    with pytest.raises((ModelFailed, LimitReached)):
        await heard(served)
