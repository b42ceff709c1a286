"""Runs as the steps of an operation find them: by id, by conversation, and once they have settled."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from tailrace.errors import Conflict
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.supervisor import Supervisor
from tailrace.service.documents import Documents

WAIT_SECONDS = 30.0
"""How long a turn waits for the turn it follows to end, before it is told to try again."""


class StoredRuns(Struct, frozen=True):
    """What is known of runs, and who works on them."""

    supervisor: Supervisor
    directory: Directory
    conversations: Conversations
    documents: Documents

    async def until_settled(self, run: str, what: str, param: str) -> None:
        """Wait a while for a run that somebody goes on from, `what` it is to the client. Raises `Conflict`
        when it takes too long."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.supervisor.wait(run)
        except TimeoutError:
            raise Conflict(f"{what} is still in progress.", param=param) from None
