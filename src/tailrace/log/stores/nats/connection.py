"""The connection of nats-py, corrected in one place: a write to a closed transport does not raise.

Between the close of its transport and the moment at which its reader notices, nats-py considers itself
connected, and writes in the caller's task. asyncio raises `ConnectionResetError` there and uvloop
`RuntimeError`, neither of which is an error of the library: publish, subscribe, unsubscribe and close
raised them. Pending data stay pending, as at any other time without a connection, and are written after the
reconnect that the reader begins.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.client import Client

from tailrace import hooks

hooks.require("nats-py", "2.16", Client, "_flush_pending", "_close")
hooks.require_fields("nats-py", "2.16", Client, "_pending", "_pending_data_size", "_status")


class NatsConnection(Client):
    """`nats.aio.client.Client` whose writes wait for the next server when the present one is lost."""

    async def _flush_pending(self, force_flush: bool = False) -> Any:  # noqa: FBT001, FBT002 - theirs
        try:
            return await super()._flush_pending(force_flush)
        except (OSError, RuntimeError):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 - theirs
        try:
            await super()._close(status, do_cbs)
        except (OSError, RuntimeError):
            # It stopped in the middle, at its last write: discard that, and close the rest.
            self._pending, self._pending_data_size = [], 0
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)
