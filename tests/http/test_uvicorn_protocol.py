"""The protocol of one connection, which tests feed directly: its buffers, the bytes that it accepts as a
request, and how it ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from tailrace.http import intake, uvicorn_protocol
from tailrace.http.uvicorn_protocol import MAX_PIPELINE, Protocol
from tests.support.hostile import ENDLESS, HOST
from tests.support.waiting import until

MOST = 3_000
READ = 2_000
"""The largest piece that the tests feed; a real read is 256 KiB at most."""


class Wire(asyncio.Transport):
    """The client's side: the bytes that it received, and whether the connection has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.told = b""
        self.ended = self.half = False

    def write(self, data: Any) -> None:
        self.told += bytes(data)

    def write_eof(self) -> None:
        self.half = True

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """This transport has no buffer."""

    def pause_reading(self) -> None:
        """The test feeds it."""

    resume_reading = pause_reading


class Fed:
    """A connection to an application that reads each request, or none at all, and then replies."""

    def __init__(self, *, reads: bool = True, waits: bool = False) -> None:
        self.seen: list[tuple[str, str, bytes, tuple[str, ...]]] = []
        self.go = asyncio.Event()
        if not waits:
            self.go.set()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            http = Request(scope, receive)
            body = b""
            if reads:
                try:
                    body = await http.body()
                except ClientDisconnect:
                    return
            self.seen.append((http.method, http.url.path, body, tuple(sorted(http.headers))))
            await self.go.wait()
            await Response(http.url.path)(scope, receive, send)

        config = Config(app, log_config=None, ws="none", lifespan="off")
        config.load()
        self.wire = Wire()
        self.protocol = Protocol(
            config=config, server_state=ServerState(), app_state={}, most_body=MOST
        )
        self.protocol.connection_made(self.wire)

    async def feed(self, data: bytes, size: int = READ) -> None:
        for number, at in enumerate(range(0, len(data), size)):
            if self.wire.ended:
                break
            self.protocol.data_received(data[at : at + size])
            self.check()
            if number % max(1, 100 // size) == 0:
                await self.settle()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    def check(self) -> None:
        """No buffer is over its bound."""
        kept = self.protocol
        head = len(getattr(kept, "url", b"")) + sum(len(n) + len(v) for n, v in kept.headers or ())
        assert head <= intake.HEAD_BYTES + 2 * READ
        assert len(kept.headers or ()) <= intake.HEADERS
        assert len(kept.pipeline) <= MAX_PIPELINE
        bodies = [cycle.body for cycle, _ in kept.pipeline]
        if kept.cycle is not None:
            bodies.append(kept.cycle.body)
        assert all(len(body) <= kept._in.most + READ for body in bodies)
        assert -intake.FRAMING_BYTES < kept._in.spare <= intake.HEAD_BYTES or kept._discarding

    def end(self) -> None:
        self.protocol.connection_lost(None)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are reached soon."""
    monkeypatch.setattr(intake, "HEAD_BYTES", 1_000)
    monkeypatch.setattr(intake, "FRAMING_BYTES", 1_000)
    monkeypatch.setattr(intake, "HEADERS", 20)
    monkeypatch.setattr(intake, "UNREAD_BYTES", 500)
    monkeypatch.setattr(uvicorn_protocol, "REST_BYTES", 500)


@pytest.mark.parametrize("size", [1, 7, READ])
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("name", ENDLESS)
async def test_nothing_without_end_is_kept_or_read_on(name: str, reads: bool, size: int) -> None:
    fed = Fed(reads=reads)
    what = ENDLESS[name]
    await fed.feed(what.first + (what.piece * 100)[:30_000], size)
    assert fed.wire.ended or fed.protocol._discarding or b"HTTP/1.1 200" in fed.wire.told
    assert not any("a1" in names for *_, names in fed.seen), "a trailer is no header"
    fed.end()


PIECES = st.one_of(
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /p HTTP/1.1\r\n",
            b"POST /q HTTP/1.0\r\n",
            HOST,
            b"\r\n",
            b"transfer-encoding: chunked\r\n",
            b"content-length: 3\r\n",
            b"content-length: 2000\r\n",
            b"connection: upgrade\r\nupgrade: h2c\r\n",
            b"connection: close\r\n",
            b"expect: 100-continue\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"0\r\nx: y\r\n",
            b"abc",
            b"1;" + b"x" * 400 + b"\r\nz\r\n",
            b"a: b\r\n" * 30,
            b"x" * 700,
            b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
            b"POST /p HTTP/1.1\r\n" + HOST + b"content-length: 3\r\n\r\nabc",
            b"POST /p HTTP/1.1\r\n"
            + HOST
            + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ]
    ),
    st.binary(max_size=30),
)


@given(st.lists(PIECES, max_size=60), st.integers(1, READ), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_sequence_of_bytes_is_kept(
    pieces: list[bytes], size: int, reads: bool, waits: bool
) -> None:
    async def fed() -> None:
        one = Fed(reads=reads, waits=waits)
        await one.feed(b"".join(pieces), size)
        one.end()

    asyncio.run(fed())


@given(st.lists(PIECES, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_how_bytes_are_cut_changes_no_request(pieces: list[bytes], chance: random.Random) -> None:
    """Request smuggling needs two readers that see different requests in the same bytes."""
    data = b"".join(pieces)

    async def seen(size: int) -> list[Any]:
        one = Fed()
        await one.feed(data, size)
        one.end()
        return one.seen

    whole, single, some = (asyncio.run(seen(size)) for size in (READ, 1, chance.randint(2, 50)))
    shortest = min(map(len, (whole, single, some)))
    assert whole[:shortest] == single[:shortest] == some[:shortest]


ANSWERED: dict[str, tuple[bytes, bytes]] = {
    # the bytes of the request, the beginning of the reply
    "gzip below chunks": (b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501 "),
    "identity": (b"transfer-encoding: identity\r\n\r\n", b"501 "),
    "a coding that nobody knows": (b"transfer-encoding: x\r\n\r\n", b"501 "),
    "no coding": (b"transfer-encoding:\r\n\r\n", b"400 "),
    "a coding with a parameter": (b"transfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n", b"501 "),
    "chunks in capitals": (b"Transfer-Encoding:  CHUNKED \r\n\r\n0\r\n\r\n", b"200 "),
    "both framings": (b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", b"400 "),
    "both, the other way": (b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", b"400 "),
    "chunks twice": (b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", b"400 "),
    "two hosts": (HOST + b"\r\n", b"400 "),
    "two lengths": (b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", b"400 "),
    "a folded line": (b"a: b\r\n c\r\n\r\n", b"400 "),
    "a space before a colon": (b"content-length : 3\r\n\r\nabc", b"400 "),
    "a length in the trailers": (
        b"transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 3\r\n\r\n",
        b"400 ",
    ),
    "a large head": (b"a: " + b"x" * 1_500 + b"\r\n\r\n", b"431 "),
    "many headers": (b"a: b\r\n" * 30 + b"\r\n", b"431 "),
    "large trailers": (b"transfer-encoding: chunked\r\n\r\n0\r\na: " + b"x" * 4_500, b"400 "),
    "a body that nobody bounds": (
        b"transfer-encoding: chunked\r\n\r\n" + b"ff\r\n%b\r\n" % (b"x" * 255) * 20,
        b"413 ",
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_what_cannot_be_read_is_answered_once_and_with_an_id(name: str) -> None:
    rest, begins = ANSWERED[name]
    fed = Fed()
    await fed.feed(b"POST /p HTTP/1.1\r\n" + HOST + rest)
    assert fed.wire.told.startswith(b"HTTP/1.1 " + begins), fed.wire.told
    if begins != b"200 ":
        assert fed.wire.told.count(b"HTTP/1.1") == 1
        assert b"x-request-id: req_" in fed.wire.told
        assert b"connection: close\r\n" in fed.wire.told
        assert fed.wire.half, "it says that it is done"
        assert not fed.wire.ended, "and reads on for a moment, so that the answer arrives"
        assert not fed.seen
    fed.end()


async def test_a_missing_host_is_refused_from_http_1_1_on() -> None:
    for version, begins in ((b"1.1", b"HTTP/1.1 400 "), (b"1.0", b"HTTP/1.1 200 ")):
        fed = Fed()
        await fed.feed(b"GET / HTTP/%b\r\n\r\n" % version)
        assert fed.wire.told.startswith(begins)
        fed.end()


GET = b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n"


async def test_requests_in_one_read_are_answered_in_order_and_so_many() -> None:
    fed = Fed()
    await fed.feed(b"".join(GET % number for number in range(10)))
    assert [path for _, path, _, _ in fed.seen] == [f"/{number}" for number in range(10)]
    await fed.feed(b"".join(GET % number for number in range(500)), 100_000)
    await until(lambda: len(fed.seen) >= 10 + MAX_PIPELINE + 1)
    await fed.settle()
    assert len(fed.seen) == 10 + MAX_PIPELINE + 1
    last = fed.wire.told.rindex(b"HTTP/1.1 200")
    assert b"connection: close" in fed.wire.told[last:]
    assert b"connection: close" not in fed.wire.told[:last]
    assert fed.wire.half
    fed.end()


async def test_rubbish_behind_a_request_waits_for_its_answer() -> None:
    fed = Fed(waits=True)
    await fed.feed(GET % 1 + GET % 2 + b"\0rubbish")
    assert fed.wire.told == b"", "an answer now would be taken for that of the first"
    fed.go.set()
    await fed.settle()
    await fed.settle()
    assert fed.wire.told.count(b"HTTP/1.1 200") == 2
    assert b" 400 " not in fed.wire.told
    assert fed.wire.half
    fed.end()


POST = b"POST /p HTTP/1.1\r\n" + HOST


async def test_an_early_reply_closes_the_connection() -> None:
    fed = Fed(reads=False)
    await fed.feed(POST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    assert b"connection: close\r\n" in fed.wire.told
    assert fed.wire.half
    assert not fed.wire.ended
    await fed.feed(b"0\r\n\r\n" + GET % 2)
    assert len(fed.seen) == 1, "what follows is no request"
    await fed.feed(b"x" * 20_000)
    assert fed.wire.ended
    fed.end()


async def test_a_short_rest_is_read_for_the_next_request() -> None:
    fed = Fed(reads=False)
    await fed.feed(POST + b"content-length: 300\r\n\r\nabc")
    assert b"connection: close\r\n" not in fed.wire.told
    await fed.feed(b"x" * 297 + GET % 2)
    assert len(fed.seen) == 2
    fed.end()


async def test_a_body_after_an_unanswered_expect_is_not_read() -> None:
    """Whether the body arrives is unknown: the bytes that follow might be taken for it."""
    fed = Fed(reads=False)
    await fed.feed(POST + b"content-length: 3\r\nexpect: 100-continue\r\n\r\n")
    assert b"connection: close\r\n" in fed.wire.told
    fed.end()


BODIES = {
    "none": (b"", b""),
    "a length": (b"content-length: 3\r\n", b"abc"),
    "chunks": (b"transfer-encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("size", [1, READ])
@pytest.mark.parametrize("name", BODIES)
async def test_an_upgrade_is_ignored_and_the_body_read(name: str, size: int) -> None:
    """Java's client requests h2c with its first request, and continues with HTTP/1.1 if the server does not
    offer it."""
    header, body = BODIES[name]
    fed = Fed()
    asked = POST + header + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\r\n" + body
    data = asked + asked + GET % 2
    for at in range(0, len(data), size):
        await fed.feed(data[at : at + size])  # the application works in between
    expected = b"abc" if body else b""
    assert [(path, got) for _, path, got, _ in fed.seen] == [
        ("/p", expected),
        ("/p", expected),
        ("/2", b""),
    ]
    fed.end()


async def test_a_connection_without_a_request_ends() -> None:
    fed = Fed()
    await fed.feed(GET % 1)
    timer = fed.protocol.timeout_keep_alive_task
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() <= 5
    fed.protocol.timeout_keep_alive_handler()
    assert fed.wire.ended
    fed.end()


async def test_a_client_that_is_lost_ends_every_request_of_it() -> None:
    fed = Fed(waits=True)
    await fed.feed(GET % 1 + GET % 2)
    served = fed.protocol._current
    assert served is not None
    left: list[bool] = []
    served.on_disconnect = lambda: left.append(True)
    fed.end()
    assert served.is_gone
    assert left == [True]
    fed.go.set()
    await fed.settle()
    assert fed.wire.told == b""
