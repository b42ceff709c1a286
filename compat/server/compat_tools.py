"""The tool and the agent in Python that the clients meet."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import tailrace
from tailrace.events.items import ImagePart, Message, text_of
from tailrace.runtimes.adapters.generator.run import GeneratorPiece


@tailrace.tool(idempotent=True)
def find(what: str) -> dict[str, str]:
    """Find a thing."""
    return {"found": what}


async def witness(run: tailrace.Run) -> AsyncGenerator[GeneratorPiece, None]:
    """Says what the user has said so far, and how many pictures were shown."""
    told = [item for item in run.messages if isinstance(item, Message) and item.role == "user"]
    pictures = sum(isinstance(part, ImagePart) for item in told for part in item.content)
    yield run.text(f"{' | '.join(text_of(item.content) for item in told)} ({pictures} pictures)")
