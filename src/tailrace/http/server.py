"""The server around the application: sockets, signals, and an orderly stop.

It serves while the store is being opened (another process may still hold it), so that `/readyz` can say so;
what needs the store waits a moment and is then told to try again.

On SIGTERM: `/readyz` says so and new runs are refused, while everything else is still served; live runs may
settle; those that do not are handed over; their readers are told, or cut off in the middle of the body; then
the process ends, also where an agent goes on regardless.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.http import logs
from tailrace.http.app import come_again
from tailrace.http.edge import Instance
from tailrace.http.event_stream import Streams
from tailrace.http.origin import NameGuard
from tailrace.http.protocol import Protocol
from tailrace.http.watchdog import Watchdog
from tailrace.service.memory import give_back

NOTSENT_LOWAT = 16_384
"""Unsent bytes the kernel takes for one client. Measured: 0.16 MB a stalled reader instead of 4.2."""

BACKLOG = 2048

OPEN_SECONDS = 2.0
"""Clients of a server that starts wait so long before they are told to come again."""

LEAVE_SECONDS = 1.0
"""Tasks that have not ended so long after all was closed are left behind."""

SWITCH_SECONDS = 0.0005
"""The store's writer thread must win the interpreter back after each statement; with the default of
5 ms a commit under load takes 46 ms, with this 0.6 (measured)."""


class Patience:
    """An application whose last requests are told to come again, when the server that stops has no more
    patience with them: uvicorn cancels them then, and would answer 500."""

    def __init__(self, app: ASGIApp, streams: Streams) -> None:
        self._app = app
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if begun or not self._streams.stopping:
                raise
            again = come_again("The server is restarting; try again in a moment.", scope)
            await again(scope, receive, send)


class Server(uvicorn.Server):
    """A uvicorn server that opens the store, and drains runs before it closes connections. `failure` is
    why the store could not be opened."""

    def __init__(self, config: uvicorn.Config, instance: Instance) -> None:
        super().__init__(config)
        self._edge = instance.edge
        self._opening: asyncio.Task[None] | None = None
        self.watchdog = Watchdog(instance.service.supervisor.block_seconds)
        self.failure: Exception | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.watchdog.start()
        self._edge.health.lag = self.watchdog.lag
        self._opening = asyncio.create_task(self._open())
        await asyncio.wait([self._opening], timeout=OPEN_SECONDS)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._edge.life.drain()
        for server in self.servers:
            server.close()
        self._edge.streams.stop()
        await super().shutdown(sockets)
        await self._edge.life.close()
        await _leave()

    async def _open(self) -> None:
        try:
            await self._edge.life.open()
        except Exception as error:
            self.failure = error
            self.should_exit = True


async def _leave() -> None:
    """End the process where tasks do not let themselves be stopped: the loop would wait for them for ever."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=LEAVE_SECONDS))[1]:
        logging.shutdown()
        os._exit(0)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":
        lowat = 25  # TCP_NOTSENT_LOWAT; Python's socket module does not name it
        listener.setsockopt(socket.IPPROTO_TCP, lowat, NOTSENT_LOWAT)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # from here on clients wait instead of being refused
    except OSError:
        listener.close()
        raise
    return listener


def make(app: ASGIApp, instance: Instance, origins: Sequence[str]) -> Server:
    """A server that is ready to run; `origins` are those of the pages that may call."""
    edge = instance.edge
    config = uvicorn.Config(
        NameGuard(Patience(app, edge.streams), edge.gate, origins),
        http=cast("type[asyncio.Protocol]", partial(Protocol, most_body=edge.bodies.most)),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
        backlog=BACKLOG,
    )
    return Server(config, instance)


def run(server: Server, listener: socket.socket) -> None:
    """Serve until a signal, or `should_exit`, says stop. Raises what kept the store from being opened."""
    logs.to_stderr()
    give_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    try:
        server.run(sockets=[listener])
    finally:
        server.watchdog.stop()
    if server.failure is not None:
        raise server.failure
