"""A name that resolves to one address at the first lookup, and to another at the next."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tailrace.models import outbound

NAME, GOOD, EVIL = "rebound.test", "127.0.0.1", "127.0.0.2"
"""`GOOD` takes the role of a public address, which is not available in a test."""


@asynccontextmanager
async def rebinding(
    monkeypatch: pytest.MonkeyPatch, status: int = 200
) -> AsyncGenerator[tuple[int, list[str]]]:
    """A port where a server listens at both addresses, and the addresses that were connected to."""
    asked: list[str] = []
    looked = 0
    ask = socket.getaddrinfo

    def lookup(host: Any, port: Any, *more: Any, **options: Any) -> Sequence[Any]:
        nonlocal looked
        if host in (NAME, NAME.encode()):
            looked += 1
            host = GOOD if looked % 2 else EVIL
        return ask(host, port, *more, **options)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer.get_extra_info("sockname")[0])
        writer.write(b"HTTP/1.1 %d .\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi" % status)
        writer.close()

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(outbound, "_is_public", lambda text: text == GOOD)
    good = await asyncio.start_server(answer, GOOD, 0)
    port = good.sockets[0].getsockname()[1]
    evil = await asyncio.start_server(answer, EVIL, port)
    async with good, evil:
        yield port, asked
