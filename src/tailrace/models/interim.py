"""Interim replies (1xx) of a model server: a few may come before the reply, and no more.

aiohttp reads past them in a loop that gives way to nobody, and bounds neither their number nor their bytes.
"""

from __future__ import annotations

from typing import Any

import aiohttp
from aiohttp.connector import Connection

MOST = 16
"""Servers send `100 Continue` once, `102` and `103` some times."""


class InterimResponse(aiohttp.ClientResponse):
    """A reply whose interim replies are counted. `start` raises `aiohttp.ClientPayloadError` for too many."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol: Any = connection.protocol
        read, count = protocol.read, 0

        async def read_counting() -> Any:
            nonlocal count
            count += 1
            if count > MOST:
                raise aiohttp.ClientPayloadError(f"over {MOST} interim replies")
            return await read()

        protocol.read = read_counting
        try:
            return await super().start(connection)
        finally:
            del protocol.read  # the connection serves other requests
