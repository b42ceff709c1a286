"""The stored runs, as the steps of an operation need them: by id, by conversation, and when they have
ended."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from tailrace.errors import Conflict
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.supervisor import Supervisor
from tailrace.service.documents import Documents

WAIT_SECONDS = 30.0
"""How long a turn waits for the end of the turn before it; then its client gets a `Conflict`."""


class StoredRuns(Struct, frozen=True):
    """Where runs are found, and the supervisor that works on them."""

    supervisor: Supervisor
    directory: Directory
    conversations: Conversations
    documents: Documents

    async def until_settled(self, run: str, what: str, param: str) -> None:
        """Wait for the end or the next pause of a run that another turn continues, at most `WAIT_SECONDS`.
        `what` is the client's word for the run. Raises `Conflict`."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.supervisor.wait(run)
        except TimeoutError:
            raise Conflict(f"{what} is still in progress.", param=param) from None
