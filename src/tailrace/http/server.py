"""The server around the application: sockets, signals, and an orderly stop.

It serves while the store is being opened (another process may still hold it), so that `/readyz` can report
it; a request that needs the store waits for a moment and then gets 503.

On SIGTERM: `/readyz` reports it and new runs are refused, while everything else is still served; live runs
get `shutdown_seconds` to end, then they are handed over; streams are cut in the middle of the body, or get a
last frame that says so; then the process ends, also if an agent ignores its cancellation.
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
from tailrace.http.app import unavailable
from tailrace.http.instance import Instance
from tailrace.http.origin import NameGuard
from tailrace.http.uvicorn_protocol import Protocol
from tailrace.http.watchdog import Watchdog
from tailrace.service.lifecycle import Shutdown
from tailrace.service.memory import return_large_blocks

NOTSENT_LOWAT = 16_384
"""Unsent bytes that the kernel buffers for one client. Measured: 0.16 MB a stalled reader instead of 4.2."""

BACKLOG = 2048

OPEN_SECONDS = 2.0
"""Time for which connections wait while the store opens, before they get 503."""

LEAVE_SECONDS = 1.0
"""Time that tasks get to end after the close; then the process exits without them."""

SWITCH_SECONDS = 0.0005
"""The store's writer thread must win the interpreter back after each statement; with the default of
5 ms a commit under load takes 46 ms, with this 0.6 (measured)."""


class GracefulTimeout:
    """An application whose last requests get 503 when uvicorn cancels them after `timeout_graceful_shutdown`;
    uvicorn itself would send 500."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self._app = app
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_reply = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_reply
            has_reply = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if has_reply or not self._shutdown.started:
                raise
            reply = unavailable("The server is restarting; try again in a moment.", scope)
            await reply(scope, receive, send)


class Server(uvicorn.Server):
    """A uvicorn server that opens the store, and drains runs before it closes connections. `failure` is
    why the store could not be opened."""

    def __init__(self, config: uvicorn.Config, instance: Instance) -> None:
        super().__init__(config)
        self._health = instance.edge.health
        self._lifecycle = instance.lifecycle
        self._opening: asyncio.Task[None] | None = None
        self.watchdog = Watchdog(instance.service.runs.supervisor.block_seconds)
        self.failure: Exception | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to open the store, wait for it up to `OPEN_SECONDS`, and listen."""
        self.watchdog.start()
        self._health.lag = self.watchdog.lag
        self._opening = asyncio.create_task(self._open())
        await asyncio.wait([self._opening], timeout=OPEN_SECONDS)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the runs, stop listening, cut the streams, wait for open requests, close the store."""
        await self._lifecycle.drain()
        for server in self.servers:
            server.close()
        self._lifecycle.cut()
        await super().shutdown(sockets)
        await self._lifecycle.close()
        await _leave()

    async def _open(self) -> None:
        try:
            await self._lifecycle.open()
        except Exception as error:
            self.failure = error
            self.should_exit = True


async def _leave() -> None:
    """End the process if tasks ignore their cancellation: the event loop would wait for them."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks and (await asyncio.wait(tasks, timeout=LEAVE_SECONDS))[1]:
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
        NameGuard(GracefulTimeout(app, edge.shutdown), edge.gate, origins),
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
    """Serve until a signal or `should_exit` stops the server. Raises the error of a store that could not be
    opened."""
    logs.to_stderr()
    return_large_blocks()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    try:
        server.run(sockets=[listener])
    finally:
        server.watchdog.stop()
    if server.failure is not None:
        raise server.failure
