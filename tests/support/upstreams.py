"""A real model server on loopback whose behaviour a test defines: an asyncio server that speaks raw HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

Serve = Callable[["Peer"], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Peer:
    """One connection of a client, with its request; `gone` is set when it has closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""
        self.body = b""

    async def receive(self) -> None:
        """Read the complete request."""
        self.head = await self._reader.readuntil(b"\r\n\r\n")
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self.body = await self._reader.readexactly(int(line.split(b":")[1]))

    async def send(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self._writer.write(data)
        await self._writer.drain()

    async def until_gone(self) -> None:
        """Wait until the client closes."""
        await self._reader.read()

    def reset(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()


@asynccontextmanager
async def upstream(*behaviours: Serve) -> AsyncGenerator[tuple[str, list[Peer]], None]:
    """A server whose n-th connection has the n-th behaviour, and all later ones the last."""
    peers: list[Peer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        peers.append(peer)
        try:
            await peer.receive()
            await behaviours[min(len(peers), len(behaviours)) - 1](peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1", peers
    finally:
        server.close()
