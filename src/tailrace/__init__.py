"""tailrace: run AI agents durably; tail any run over any protocol."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.app import App
    from tailrace.protocols.session_lines.host import HostEvent, SessionEvent
    from tailrace.runtimes.adapters.run import Run
    from tailrace.runtimes.tools.contract import Progress, ToolContext, ToolError
    from tailrace.runtimes.tools.functions import tool

__version__ = "0.1.0"
__all__ = [
    "App",
    "HostEvent",
    "Progress",
    "Run",
    "SessionEvent",
    "ToolContext",
    "ToolError",
    "__version__",
    "tool",
]

_WHERE = {
    "App": "tailrace.app",
    "HostEvent": "tailrace.protocols.session_lines.host",
    "Progress": "tailrace.runtimes.tools.contract",
    "Run": "tailrace.runtimes.adapters.run",
    "SessionEvent": "tailrace.protocols.session_lines.host",
    "ToolContext": "tailrace.runtimes.tools.contract",
    "ToolError": "tailrace.runtimes.tools.contract",
    "tool": "tailrace.runtimes.tools.functions",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: every module of ours begins by importing this one."""
    if name not in _WHERE:
        raise AttributeError(name)
    return getattr(importlib.import_module(_WHERE[name]), name)
