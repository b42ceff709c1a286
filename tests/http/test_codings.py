"""Compressed bodies: they are read like plain ones, the limit applies to the decompressed size, and they
are decompressed in slices."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import time
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zstandard
from starlette.requests import Request

from tailrace.errors import BadRequest, TooLarge, Unavailable, UnsupportedMedia
from tailrace.http import bodies
from tailrace.http.bodies import Bodies
from tailrace.protocols.framing import codings as framing
from tailrace.service.memory import CycleCollector
from tests.http.test_auth import SURFACES
from tests.http.test_bounds import POSTS
from tests.support.servers import ChildServer, running


def bare(data: bytes) -> bytes:
    """Deflate without the zlib header, as many clients send it."""
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def streamed(data: bytes) -> bytes:
    """zstd data that does not declare its size."""
    made = zstandard.ZstdCompressor().compressobj()
    return made.compress(data) + made.flush()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate, bare": ("deflate", bare),
    "zstd": ("zstd", zstandard.compress),
    "zstd, streamed": ("zstd", streamed),
}
CHANCE = random.Random(13)
DATA = {
    "nothing": b"",
    "a byte": b"{",
    "noise": CHANCE.randbytes(700_001),
    "words": b" ".join(CHANCE.choices([b"a", b"run", b"event"], k=200_000)),
    "zeros": b"\0" * (framing.PIECE * 2 + 1),
}


def whole(coding: str, data: bytes) -> bytes:
    return b"".join(bodies.decode(coding, data))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("way", WAYS)
def test_a_compressed_body_is_unpacked_exactly(way: str, data: str) -> None:
    coding, pack = WAYS[way]
    packed = pack(DATA[data])
    assert whole(coding, packed) == DATA[data]
    for cut in (1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(BadRequest):
            whole(coding, packed[:cut])


@pytest.mark.parametrize("way", [way for way in WAYS if "deflate" not in way])
def test_parts_behind_each_other_are_one_body_and_so_many(way: str) -> None:
    coding, pack = WAYS[way]
    assert whole(coding, pack(b"ab") + pack(b"") + pack(b"cd")) == b"abcd"
    with pytest.raises(BadRequest, match="compressed parts"):
        whole(coding, pack(b"") * (framing.MEMBERS + 1))


@pytest.mark.parametrize("way", WAYS)
def test_no_piece_is_large(way: str) -> None:
    coding, pack = WAYS[way]
    largest = max(len(piece) for piece in bodies.decode(coding, pack(b"\0" * 50_000_000)))
    assert largest <= framing.ZSTD_INPUT // 4 * 131_072


def test_a_window_that_costs_much_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    with pytest.raises(BadRequest):
        whole("zstd", packed.compress(b"x") + packed.flush())


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", ()),
        ("identity", ()),
        ("GZip", ("gzip",)),
        ("gzip, zstd", ("zstd", "gzip")),
        (" identity ,, zstd", ("zstd",)),
    ],
)
def test_codings_come_off_in_the_reverse_order(header: str, names: tuple[str, ...]) -> None:
    assert bodies.codings_of(header) == names


@pytest.mark.parametrize(
    "header", ["br", "gzip, br", "gzip, gzip, gzip", "compress", "\x00", "é" * 99]
)
def test_an_unsupported_coding_is_named(header: str) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        bodies.codings_of(header)
    assert len(caught.value.message) < 200


MOST = 1_000_000


def sent(body: bytes, coding: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-encoding", coding.encode())]
    return Request({"type": "http", "headers": headers}, receive)


@pytest.mark.parametrize(("size", "fits"), [(MOST, True), (MOST + 1, False)])
@pytest.mark.parametrize("way", WAYS)
async def test_the_bound_is_that_of_the_unpacked_body(way: str, size: int, fits: bool) -> None:
    coding, pack = WAYS[way]
    held = Bodies(MOST)
    body = pack(b" " * size)
    if fits:
        assert len(await held.read(sent(body, coding), [])) == MOST
    else:
        with pytest.raises(TooLarge):
            await held.read(sent(body, coding), [])
    with pytest.raises(TooLarge):
        await held.read(sent(body, coding), [1_000])
    assert held._buffered_bytes == 0


async def test_unpacked_bodies_count_among_those_that_are_buffered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "TOGETHER", 1)
    held = Bodies(MOST)
    with pytest.raises(Unavailable):
        await held.read(sent(zstandard.compress(CHANCE.randbytes(600_000)), "zstd"), [])
    assert held._buffered_bytes == 0


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Without garbage collection: the tests before have left many times more cycles than a server has."""
    monkeypatch.setattr(bodies, "collector", CycleCollector())
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("way", ["gzip", "zstd", "deflate, bare"])
async def test_others_are_served_while_a_body_is_unpacked(way: str) -> None:
    coding, pack = WAYS[way]
    words = b" ".join(CHANCE.choices([b"a", b"run", b"event"], k=1_500_000))
    body = pack(words)
    # In processor time: on a busy machine other processes may delay us for long.
    longest, last = 0.0, time.thread_time()
    done = False

    async def ticking() -> None:
        nonlocal longest, last
        while not done:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watch = asyncio.create_task(ticking())
    began = time.thread_time()
    held = Bodies(len(words))
    with held._buffer(len(words)) as unpacked:
        await held._unpack(coding, body, unpacked)
    took = time.thread_time() - began
    done = True
    await watch
    assert longest < max(took / 3, 0.02), f"{longest} of {took} s in one go"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    with running(folder, server="max_body_bytes = 1000000") as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.mark.parametrize("way", WAYS)
def test_a_packed_request_is_answered_like_a_plain_one(server: ChildServer, way: str) -> None:
    coding, pack = WAYS[way]
    body = msgspec.json.encode({"model": "echo", "input": "packed"})
    headers = {"content-encoding": coding, "content-type": "application/json"}
    reply = httpx.post(server.url + "/v1/responses", content=pack(body), headers=headers)
    assert reply.status_code == 200
    assert "packed" in reply.text


def test_the_same_body_packed_otherwise_is_the_same_request(server: ChildServer) -> None:
    body = msgspec.json.encode({"agent": "echo", "input": "once"})
    made = {
        httpx.post(
            server.url + "/jobs",
            content=pack(body),
            headers={"content-encoding": coding, "idempotency-key": "one"},
        ).json()["id"]
        for coding, pack in WAYS.values()
    }
    assert len(made) == 1


@pytest.mark.parametrize("surface", POSTS)
def test_an_unknown_coding_is_415_in_the_surfaces_own_form(
    server: ChildServer, surface: str
) -> None:
    _, path, _ = SURFACES[surface]
    reply = httpx.post(server.url + path, content=b"x", headers={"content-encoding": "br"})
    assert reply.status_code == 415
    assert reply.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert reply.headers["x-request-id"]
    error = reply.json()["error"]
    assert "'br'" in (error if surface == "session" else error["message"])
    if surface.startswith("messages"):
        assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_many_small_parts_cost_no_more_than_their_bytes(coding: str) -> None:
    """The data after a part is not copied for each part (aiohttp #13362)."""
    pack = WAYS[coding][1]
    parts = pack(b"a") * (framing.MEMBERS - 1) + pack(CHANCE.randbytes(40_000_000))
    before = time.process_time()
    assert len(whole(coding, parts)) == framing.MEMBERS - 1 + 40_000_000
    assert time.process_time() - before < 3


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 4_096])
def test_bytes_may_be_fed_in_any_pieces(coding: str, size: int) -> None:
    packed = WAYS[coding][1](DATA["words"][:20_000]) * 2
    unpacker = framing.Unpacker(coding)
    made = b"".join(
        piece
        for start in range(0, len(packed), size)
        for piece in unpacker.feed(packed[start : start + size])
    )
    assert made == DATA["words"][:20_000] * 2
    assert unpacker.whole


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("most", [100, 100_000, 1_000_000])
async def test_a_bomb_is_too_large_however_small_the_limit(coding: str, most: int) -> None:
    """After a 503 the SDKs would send the request again."""
    held = Bodies(most)
    with pytest.raises(TooLarge):
        await held.read(sent(WAYS[coding][1](bytes(50_000_000)), coding), [])
    assert await held.read(sent(WAYS[coding][1](b"x" * 99), coding), []) == b"x" * 99
