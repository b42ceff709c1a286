"""What becomes of a tool's exception: its text is for who runs the code, not for a model or a client.

It holds addresses, keys, rows of a database. So the model reads its type, the log has all of it, and a tool
that has something to say to the model says it with `ToolError`, or returns it. Pydantic AI has `ModelRetry`
for this, LangChain `ToolException`; MCP's Python SDK tells the model whatever was raised.
"""

from __future__ import annotations

import logging

from tailrace.runtimes.tools.contract import MAX_OUTPUT, ToolError

logger = logging.getLogger("tailrace.runtimes")


def tool_failure(error: BaseException, tool: str) -> str:
    """What a model reads of an exception that a tool raised."""
    if isinstance(error, ToolError):
        return str(error)[:MAX_OUTPUT]
    logger.warning("tool %s raised", tool, exc_info=error)
    return f"The tool failed ({type(error).__name__})."
