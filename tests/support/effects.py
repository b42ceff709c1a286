"""Two tools that record each effect in a file which does not belong to a process of the server."""

from __future__ import annotations

from pathlib import Path

_TOOLS = '''
from tailrace import ToolContext, tool


def note(what: str, call: ToolContext) -> None:
    with open({effects!r}, "a", encoding="utf-8") as file:
        file.write(f"{{what}} {{call.run}} {{call.key}}\\n")


@tool(idempotent=True)
def find(what: str, call: ToolContext) -> str:
    """Find a thing."""
    note("find", call)
    return what


@tool
def order(what: str, call: ToolContext) -> str:
    """Order a thing, which must not happen twice."""
    note("order", call)
    return what
'''


def tools(effects: Path) -> str:
    """The source of the tools' module."""
    return _TOOLS.format(effects=str(effects))
