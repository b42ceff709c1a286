"""A model server that is unreachable, breaks off, or answers without a reply: which error the client gets,
and how many requests the server gets."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tailrace.errors import ModelFailed
from tailrace.events.request import ModelRequest
from tailrace.models import http
from tailrace.models.continued import ContinuedModel
from tailrace.models.http import Timeouts
from tests.models.test_http import (
    ASKED,
    CHUNK,
    REPLY,
    answers,
    asking,
    closes_in_the_head,
    stalls_after,
    stalls_before,
    status,
)
from tests.support.upstreams import HEAD, Peer, Serve, upstream

LONG = Timeouts(20, 20, 20)
SHORT = Timeouts(0.2, 0.2, 0.2)


async def failed(
    url: str, *, retries: int = 0, timeouts: Timeouts = LONG, asked: ModelRequest = ASKED
) -> ModelFailed:
    model = asking(url, retries, timeouts)
    with pytest.raises(ModelFailed) as caught:
        async for _ in ContinuedModel(model).stream(asked):
            pass
    await model.close()
    return caught.value


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a delay."""
    monkeypatch.setattr(http, "wait_before", lambda attempt, asked: 0.0)


NO_REPLY: dict[str, bytes] = {
    "nothing": HEAD,
    "nothing, and says so": HEAD.replace(b"connection: close", b"content-length: 0"),
    "204": b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "a page": HEAD.replace(b"event-stream", b"html") + b"<html><title>Please log in</title></html>",
    "a text": HEAD + b"please log in",
    "a document": HEAD.replace(b"event-stream", b"json") + b'{"status": "ok"}',
    "documents": HEAD + b'{"status": "ok"}\n{"status": "ok"}\n',
    "[DONE]": HEAD + b"data: [DONE]\n\n",
}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", NO_REPLY)
async def test_an_invalid_reply_is_requested_once_more_at_most(name: str) -> None:
    for retries, asked in ((0, 1), (1, 2), (5, 2)):
        async with upstream(answers(NO_REPLY[name])) as (url, peers):
            failure = await failed(url, retries=retries)
        assert len(peers) == asked
        assert (failure.status, failure.code) == (502, "upstream_invalid_response")
    async with upstream(answers(NO_REPLY[name]), answers(HEAD + REPLY)) as (url, peers):
        model = asking(url, 5, LONG)
        assert [_ async for _ in model.stream(ASKED)]
        await model.close()
    assert len(peers) == 2


async def resets_behind_its_head(peer: Peer) -> None:
    await peer.send(HEAD.replace(b"connection: close", b"transfer-encoding: chunked"))
    peer.reset()


BROKEN: dict[str, tuple[Serve, Timeouts, int]] = {
    "says nothing": (stalls_before, SHORT, 504),
    "dies in its head": (closes_in_the_head, LONG, 502),
    "dies behind its head": (resets_behind_its_head, LONG, 502),
    "stalls": (stalls_after, SHORT, 504),
    "ends in the middle": (answers(HEAD + CHUNK % b"null"), LONG, 502),
    "says what nobody can read": (answers(HEAD + b"data: <html>\n\n"), LONG, 502),
    "answers 503": (status(503, b"{}"), LONG, 503),
}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_reply_is_502_and_a_slow_one_504(name: str) -> None:
    serve, timeouts, meant = BROKEN[name]
    async with upstream(serve) as (url, peers):
        failure = await failed(url, retries=2, timeouts=timeouts)
    assert (failure.status, failure.code) == (meant, "server_error")
    said = name in ("stalls", "ends in the middle", "says what nobody can read")
    assert len(peers) == (1 if said else 3)


@pytest.mark.usefixtures("at_once")
async def test_a_server_without_a_response_is_not_asked_for_a_new_reply() -> None:
    begun = ModelRequest(items=ASKED.items, beginning="Once upon a time there was a")
    async with upstream(stalls_before) as (url, peers):
        failure = await failed(url, retries=1, timeouts=SHORT, asked=begun)
    assert (failure.status, len(peers)) == (504, 2)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def talker(
    serve: Callable[[asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[tuple[int, list[int]], None]:
    """A server that sends something to each client that connects; the number of connections."""
    count: list[int] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count.append(1)
        await serve(writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], count
    finally:
        server.close()


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A certificate that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    day = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day.replace(year=2100))
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


@pytest.mark.usefixtures("at_once")
async def test_an_unreachable_server_is_502() -> None:
    for host in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid"):
        failure = await failed(f"{host}/v1", retries=1)
        assert (failure.status, failure.code) == (502, "server_error")
        assert "cannot be reached" in failure.message
        assert "(asked 2 times)" in failure.message, "it may only come up late"
        assert "nowhere" not in failure.message


async def plain(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.usefixtures("at_once")
async def test_a_misconfigured_address_is_not_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tls in (None, own_certificate(tmp_path)):
        async with talker(plain, tls) as (port, count):
            failure = await failed(f"https://127.0.0.1:{port}/v1", retries=2)
        assert (failure.status, failure.code) == (502, "upstream_misconfigured")
        assert "asked" not in failure.message
        assert len(count) <= 1
    look = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, *more, **options: look("127.0.0.1", *more, **options)
    )
    failure = await failed("http://inside.test/v1", retries=2)
    assert (failure.status, failure.code) == (502, "upstream_misconfigured")
    assert "allow_private" in failure.message
