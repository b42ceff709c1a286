"""The tool of the chat's agents."""

from __future__ import annotations

from tailrace import tool


@tool(idempotent=True)
def search(query: str) -> dict[str, str]:
    """Search the collective agreements."""
    return {"query": query, "article": "An executive's trial period is four months."}
