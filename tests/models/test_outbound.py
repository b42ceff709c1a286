"""Which addresses a name may resolve to; the client connects to the address that was checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tailrace.models.http import Sessions
from tailrace.models.outbound import FETCH_BYTES, Resolver, addresses, fetch
from tests.support.rebinding import GOOD, NAME, rebinding

PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "::ffff:10.0.0.1",
    "2002:0a00:0001::1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "fec0::1",
)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of names; a test changes them."""
    meaning: dict[str, list[str]] = {}

    def lookup(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(0, 0, 0, "", (address, port)) for address in meaning[host]]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return meaning


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_may_not_lead_inside(names: dict[str, list[str]], address: str) -> None:
    names["models.test"] = [address]
    with pytest.raises(PermissionError, match="allow_private"):
        await addresses("models.test", 80, private=False)
    assert await addresses("models.test", 80, private=True) == [address]
    names["models.test"] = [address, "93.184.216.34"]
    assert await addresses("models.test", 80, private=False) == ["93.184.216.34"]


async def test_addresses_and_localhost_are_the_operator_s_own_word() -> None:
    for host in ("127.0.0.1", "10.0.0.1", "::1"):
        assert await addresses(host, 80, private=False) == [host]
    assert set(await addresses("localhost", 80, private=False)) <= {"127.0.0.1", "::1"}
    for host in ("169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "[::ffff:a9fe:a9fe]"):
        with pytest.raises(PermissionError):
            await addresses(host, 80, private=False)
        assert await addresses(host, 80, private=True)


LINK = "fe80::1"
"""It is unreachable without the name of an interface: without the guard no server gets the request."""


async def test_no_client_connects_to_a_link_local_address() -> None:
    """aiohttp calls its resolver for names only, not for addresses."""
    with pytest.raises(OSError, match="allow_private"):
        await fetch(f"http://[{LINK}]/keys", private=False)
    for private, ours in ((False, True), (True, False)):
        sessions = Sessions(private=private)
        with pytest.raises(aiohttp.ClientConnectorError) as failed:
            await sessions.get().post(f"http://[{LINK}]/v1")
        assert isinstance(failed.value.os_error, PermissionError) == ours
        await sessions.close()


@pytest.fixture
async def somebody() -> AsyncGenerator[int]:
    """An internal server, which must not get a request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, family=socket.AF_INET)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_client_does_not_connect_to_private_addresses(
    names: dict[str, list[str]], somebody: int
) -> None:
    names["models.test"] = ["127.0.0.1"]
    for private in (True, False):
        connector = aiohttp.TCPConnector(resolver=Resolver(private=private))
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"http://models.test:{somebody}/"
            if private:
                assert await (await session.get(url)).text() == "secret"
            else:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await session.get(url)


async def test_a_client_connects_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rebinding(monkeypatch) as (port, asked):
        for number in range(4):
            with suppress(OSError):
                assert await fetch(f"http://{NAME}:{port}/", private=False) == b"hi"
            assert len(asked) == (number + 2) // 2, "every other time the name leads inside"
        assert set(asked) == {GOOD}


async def test_a_document_is_fetched_by_the_same_rule(
    names: dict[str, list[str]], somebody: int
) -> None:
    """The keys of an identity provider: a third party may own its name, as it may own a model server's."""
    names["id.test"] = ["127.0.0.1"]
    url = f"http://id.test:{somebody}/jwks"
    with pytest.raises(OSError, match="allow_private"):
        await fetch(url, private=False)
    assert await fetch(url, private=True) == b"secret"
    assert await fetch(f"http://127.0.0.1:{somebody}/jwks", private=False) == b"secret"


REPLIES: dict[str, bytes] = {
    "it sends us elsewhere": b"HTTP/1.1 302 Found\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n",
    "it fails": b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno",
    "it goes on and on": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (FETCH_BYTES + 1),
    "it breaks off": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nno",
    "it speaks no HTTP": b"220 mail\r\n",
}


@pytest.mark.parametrize("name", REPLIES)
async def test_an_invalid_document_is_an_error(name: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsecret" if path == b"/secret" else REPLIES[name])
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="answer"):
            await fetch(f"http://127.0.0.1:{port}/", private=False)
