"""Model servers that refuse, stall, send garbage, die, or end too early: each raises `ModelFailed`, in
time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import pytest

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.request import ModelRequest, Settings
from tailrace.models.http import HttpModel, IdleTimer, ModelServer, Sessions, Timeouts
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tests.support.logs import user
from tests.support.upstreams import HEAD, Peer, upstream

ASKED = ModelRequest(items=(user("Hi"),))
CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":%b}]}\n\n'
REPLY = CHUNK % b"null" + CHUNK % b'"stop"' + b"data: [DONE]\n\n"
SECRET = "sk-very-secret"

Serve = Callable[[Peer], Awaitable[None]]


def answers(data: bytes) -> Serve:
    async def serve(peer: Peer) -> None:
        await peer.send(data)

    return serve


def status(number: int, body: bytes, extra: bytes = b"") -> Serve:
    head = b"HTTP/1.1 %d Sorry\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n" % (
        number,
        len(body),
        extra,
    )
    return answers(head + body)


async def stalls_before(peer: Peer) -> None:
    await peer.until_gone()


async def stalls_after(peer: Peer) -> None:
    await peer.send(HEAD + CHUNK % b"null")
    await peer.until_gone()


async def resets(peer: Peer) -> None:
    await peer.send(HEAD + CHUNK % b"null")
    peer.reset()


async def closes_in_the_head(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 20")


def asking(url: str, retries: int, timeouts: Timeouts) -> HttpModel:
    """A model at the test's server."""
    return HttpModel(
        "m",
        ChatCodec(),
        Sessions(),
        ModelServer(
            base_url=url,
            model="up",
            headers={"authorization": f"Bearer {SECRET}"},
            timeouts=timeouts,
            retries=retries,
        ),
    )


async def play(url: str, *, retries: int = 0, timeouts: Timeouts | None = None) -> list[t.Payload]:
    model = asking(url, retries, timeouts or Timeouts(5, 5, 5))
    made: list[t.Payload] = []
    try:
        async for batch in model.stream(ASKED):
            made += batch
    except ModelFailed as failure:
        made.append(t.RunFailed(failure.code, failure.message))
    finally:
        await model.close()
    return made


async def test_a_reply_is_read() -> None:
    async with upstream(answers(HEAD + REPLY)) as (url, peers):
        made = await play(url)
    assert [type(p).__name__ for p in made] == [
        "ItemStarted",
        "TextDelta",
        "TextDelta",
        "ItemCompleted",
        "Usage",
    ]
    assert peers[0].head.startswith(b"POST /v1/chat/completions HTTP/1.1")
    assert b'"model":"up"' in peers[0].body


async def trickles(peer: Peer) -> None:
    for byte in HEAD + REPLY:
        await peer.send(bytes([byte]))


async def test_a_reply_that_trickles_in_byte_by_byte_is_read() -> None:
    async with upstream(answers(HEAD + REPLY), trickles) as (url, _):
        assert await play(url) == await play(url)


async def test_added_headers_are_appended_to_the_configured_ones() -> None:
    async with upstream(answers(HEAD + REPLY)) as (url, peers):
        model = HttpModel(
            "m",
            MessagesCodec(),
            Sessions(),
            ModelServer(
                base_url=url,
                model="up",
                headers={"Anthropic-Beta": "oauth-2025-04-20"},
                timeouts=Timeouts(5, 5, 5),
                retries=0,
            ),
        )
        settings = Settings(origin="messages", extra={"anthropic-beta": ["a-1", "b-2"]})
        with suppress(ModelFailed):  # the server has another dialect; this test reads only the head
            async for _ in model.stream(ModelRequest(items=(user("Hi"),), settings=settings)):
                pass
        await model.close()
    head = peers[0].head.lower()
    assert head.count(b"anthropic-beta") == 1
    assert b"anthropic-beta: oauth-2025-04-20,a-1,b-2\r\n" in head


async def resets_at_once(peer: Peer) -> None:
    await peer.send(HEAD)
    peer.reset()


FAULTS: dict[str, tuple[Serve, str, str]] = {
    "refuses": (
        status(401, b'{"error":{"message":"bad key"}}'),
        "upstream_auth_failed",
        "refused the credentials of this server",
    ),
    "is busy": (
        status(429, b'{"error":{"message":"slow down"}}'),
        "rate_limit_exceeded",
        "answered 429: slow down",
    ),
    "dislikes the request": (
        status(400, b'{"detail":"no such model"}'),
        "invalid_prompt",
        "400: no such model",
    ),
    "is broken": (status(502, b"<html>Bad gateway</html>"), "server_error", "502: Bad gateway"),
    "redirects": (
        status(302, b"", b"location: http://127.0.0.1:1/\r\n"),
        "server_error",
        "answered 302",
    ),
    "says nothing": (stalls_before, "server_error", "did not answer in time"),
    "stalls": (stalls_after, "server_error", "stalled for 0.2 s"),
    "dies": (resets, "server_error", "ended in the middle"),
    "dies in the head": (closes_in_the_head, "server_error", "cannot be reached"),
    "talks rubbish": (
        answers(HEAD + b"data: <html>\n\n"),
        "server_error",
        "cannot be read: it is not JSON: <html>",
    ),
    "talks other rubbish": (
        answers(HEAD + b'data: {"choices": 7}\n\n'),
        "server_error",
        "ended in the middle",
    ),
    "ends too early": (answers(HEAD + CHUNK % b"null"), "server_error", "ended in the middle"),
    "ends at once": (answers(HEAD), "upstream_invalid_response", "answered 200 and nothing else"),
    "fails in the stream": (
        answers(HEAD + b'data: {"error":{"message":"out of memory","code":500}}\n\n'),
        "server_error",
        "out of memory",
    ),
    "gives a long reason": (status(500, b"x" * 9000), "server_error", "x" * 500),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_faulty_server_is_a_failure_in_time(name: str) -> None:
    serve, code, message = FAULTS[name]
    async with upstream(serve) as (url, _):
        # Only a server that stalls may time out, however busy this machine is.
        patience = 0.2 if name in ("says nothing", "stalls") else 20.0
        *_, last = await play(url, timeouts=Timeouts(patience, patience, patience))
    assert isinstance(last, t.RunFailed)
    assert last.code == code
    assert message in last.message
    assert SECRET not in last.message
    assert len(last.message) < 600


async def test_a_server_that_does_not_listen_cannot_be_reached() -> None:
    (last,) = await play("http://127.0.0.1:9")
    assert isinstance(last, t.RunFailed)
    assert "cannot be reached" in last.message


async def test_a_reply_without_done_but_with_a_finish_reason_is_whole() -> None:
    async with upstream(answers(HEAD + CHUNK % b'"stop"')) as (url, _):
        assert isinstance((await play(url))[-1], t.Usage)


async def test_a_request_to_a_busy_server_is_retried_before_any_output() -> None:
    busy = status(429, b"{}", b"retry-after-ms: 1\r\n")
    async with upstream(busy, status(503, b"{}", b"retry-after: 0\r\n"), answers(HEAD + REPLY)) as (
        url,
        peers,
    ):
        assert isinstance((await play(url, retries=2))[-1], t.Usage)
    assert len(peers) == 3


async def test_a_reply_that_began_is_never_requested_again() -> None:
    async with upstream(resets, answers(HEAD + REPLY)) as (url, peers):
        assert isinstance((await play(url, retries=2))[-1], t.RunFailed)
    assert len(peers) == 1


async def test_what_cannot_get_better_is_not_retried() -> None:
    async with upstream(status(400, b"{}"), answers(HEAD + REPLY)) as (url, peers):
        assert isinstance((await play(url, retries=2))[-1], t.RunFailed)
    assert len(peers) == 1


@pytest.mark.parametrize("nothing", [answers(HEAD), resets_at_once])
async def test_a_reply_that_dies_before_its_first_byte_is_requested_again(nothing: Serve) -> None:
    async with upstream(nothing, answers(HEAD + REPLY)) as (url, peers):
        assert isinstance((await play(url, retries=1))[-1], t.Usage)
    assert len(peers) == 2


EMPTY = CHUNK.replace(b"Hi", b"")
SIGNS = {
    "comments": b": ping\n\n",
    "pings": b"event: ping\ndata: {}\n\n",
    "empty data": b"data:\n\n",
    "blank chunks": EMPTY % b"null",
}


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("before", [b"", CHUNK % b"null"])
async def test_a_server_that_only_shows_that_it_lives_stalls(name: str, before: bytes) -> None:
    async def pings(peer: Peer) -> None:
        await peer.send(HEAD + before)
        while True:
            await peer.send(SIGNS[name])
            await asyncio.sleep(0)

    async with upstream(pings) as (url, _):
        async with asyncio.timeout(10):
            *_, last = await play(url, timeouts=Timeouts(5, 5, 0.3))
    assert isinstance(last, t.RunFailed)
    assert "stalled for 0.3 s" in last.message


def test_patience_is_new_after_each_event() -> None:
    decoder = ChatCodec().decoder("m")
    patience = IdleTimer(5.0, decoder)
    patience.idle_seconds = 4.5
    decoder.feed(b": ping\n\n" + EMPTY % b"null")
    assert patience.left() == 0.5
    decoder.feed(CHUNK % b"null")
    assert patience.left() == 5.0


WHOLE = HEAD + CHUNK % b"null" + CHUNK % b'"stop"'


async def stalls_when_whole(peer: Peer) -> None:
    await peer.send(WHOLE)
    await peer.until_gone()


async def resets_when_whole(peer: Peer) -> None:
    await peer.send(WHOLE.replace(b"connection: close", b"content-length: 99999"))
    peer.reset()


@pytest.mark.parametrize("serve", [stalls_when_whole, resets_when_whole])
async def test_a_reply_that_was_whole_is_whole(serve: Serve) -> None:
    async with upstream(serve) as (url, _):
        assert isinstance((await play(url, timeouts=Timeouts(5, 5, 0.3)))[-1], t.Usage)


NOTHING_YET = {
    "done and nothing else": HEAD + b"data: [DONE]\n\n",
    "a role and an end": HEAD + EMPTY % b"null",
    "an error": HEAD + b'data: {"error":{"code":503,"message":"busy"}}\n\n',
    "an error that is no stream": HEAD + b'{"error":{"code":503,"message":"busy"}}',
    "a page": HEAD + b"<html>busy</html>",
}


@pytest.mark.parametrize("name", NOTHING_YET)
async def test_an_empty_reply_is_requested_again(name: str) -> None:
    async with upstream(answers(NOTHING_YET[name]), answers(HEAD + REPLY)) as (url, peers):
        assert isinstance((await play(url, retries=1))[-1], t.Usage)
        assert len(peers) == 2
    async with upstream(answers(NOTHING_YET[name])) as (url, peers):
        assert isinstance((await play(url, retries=1))[-1], t.RunFailed)
        assert len(peers) == 2


async def test_a_key_in_an_error_inside_a_reply_is_removed() -> None:
    said = b'data: {"error":{"message":"bad key %b"}}\n\n' % SECRET.encode()
    async with upstream(answers(HEAD + said)) as (url, _):
        (last,) = await play(url)
    assert isinstance(last, t.RunFailed)
    assert last.message == "bad key [redacted]"


@pytest.mark.parametrize(("longest", "sent"), [(0, 100), (64, 64), (16, 16), (100, 100)])
async def test_a_long_user_is_sent_as_a_digest(longest: int, sent: int) -> None:
    users: list[str] = []
    for user_id in ("u" * 100, "u" * 99 + "v"):
        async with upstream(answers(HEAD + REPLY)) as (url, peers):
            model = HttpModel(
                "m",
                ChatCodec(),
                Sessions(),
                ModelServer(
                    base_url=url,
                    model="up",
                    headers={},
                    timeouts=Timeouts(5, 5, 5),
                    retries=0,
                    longest_user=longest,
                ),
            )
            asked = ModelRequest(items=ASKED.items, settings=Settings(user=user_id))
            async for _ in model.stream(asked):
                pass
            await model.close()
        users.append(msgspec.json.decode(peers[0].body)["user"])
    assert [len(user) for user in users] == [sent, sent]
    assert users[0] != users[1]


async def test_closing_the_reply_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await peer.send(HEAD + CHUNK % b"null")
        await peer.until_gone()
        gone.set()

    async with upstream(endless) as (url, _):
        model = HttpModel(
            "m",
            ChatCodec(),
            Sessions(),
            ModelServer(
                base_url=url,
                model="up",
                headers={},
                timeouts=Timeouts(),
                retries=0,
            ),
        )
        reply = model.stream(ASKED)
        assert await anext(reply)
        await reply.aclose()
        async with asyncio.timeout(5):
            await gone.wait()
        await model.close()
