"""The addresses to which this server connects: those behind a name, unless they are inside our own network.

A name in a configuration may belong to a third party, or point elsewhere later (DNS rebinding): to the
cloud's metadata service, or to a database that trusts its network. So a name must resolve to public
addresses, and the connection uses the address that was checked. A literal address, and `localhost`, are the
operator's decision; link-local addresses (169.254.…) are always refused.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

ALLOW = "allow_private"
FETCH_SECONDS = 5.0
FETCH_BYTES = 1_000_000
HTTP_OK = 200
NAT64 = IPv6Network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 addresses (RFC 6052)."""


async def addresses(host: str, port: int, *, private: bool) -> Sequence[str]:
    """The addresses to connect to for `host`; with `private` also private ones. Raises `OSError`."""
    check_literal(host, private=private)
    if _literal(host) is not None:
        return [host]
    loop = asyncio.get_running_loop()
    entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    all_ = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    fit = all_ if private or host == "localhost" else [each for each in all_ if _is_public(each)]
    if not fit:
        raise PermissionError(
            0, f"{host} is a name for a private address; allow it by {ALLOW} = true"
        )
    return fit


def check_literal(host: str, *, private: bool) -> None:
    """Raises `PermissionError` for a literal link-local address."""
    literal = _literal(host)
    if literal is not None and literal.is_link_local and not private:
        raise PermissionError(0, f"{host} is an address of the link; allow it by {ALLOW} = true")


def guard(*, private: bool) -> aiohttp.ClientMiddlewareType:
    """A middleware for an aiohttp client, which calls its resolver for names only."""

    async def check(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            check_literal(request.url.host or "", private=private)
        except (
            PermissionError
        ) as error:  # like the resolver's: the type of other errors would be lost
            raise aiohttp.ClientConnectorError(request.connection_key, error) from None
        return await handler(request)

    return check


async def fetch(url: str, *, private: bool) -> bytes:
    """A small document by GET; redirects are not followed. Raises `OSError`."""
    connector = aiohttp.TCPConnector(resolver=Resolver(private=private))
    limit = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=limit, middlewares=(guard(private=private),)
            ) as session,
            session.get(url, allow_redirects=False) as reply,
        ):
            body = await reply.content.read(FETCH_BYTES + 1)
            while not reply.content.at_eof() and len(body) <= FETCH_BYTES:
                body += await reply.content.read(FETCH_BYTES + 1 - len(body))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{url} does not answer: {error or type(error).__name__}") from None
    if reply.status != HTTP_OK or len(body) > FETCH_BYTES:
        raise OSError(f"{url} answers {reply.status}, {len(body)} bytes")
    return body


class Resolver(AbstractResolver):
    """`addresses` for an aiohttp client."""

    def __init__(self, *, private: bool) -> None:
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As `addresses`."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await addresses(host, port, private=self._private)
        ]

    async def close(self) -> None:
        """Does nothing: no connection is open."""


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """A literal address; for an IPv6 address that contains an IPv4 address, the latter."""
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(text: str) -> bool:
    address = _literal(text)
    if address is None or (isinstance(address, IPv6Address) and address.is_site_local):
        return False
    return address.is_global and not address.is_multicast
