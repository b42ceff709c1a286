"""tailrace: run AI agents durably; tail any run over any protocol."""

from typing import TYPE_CHECKING, Any

from tailrace.protocols.session_lines.host import HostEvent, SessionEvent
from tailrace.runtimes.adapters.run import Run
from tailrace.runtimes.tools.contract import Progress, ToolContext
from tailrace.runtimes.tools.functions import tool

if TYPE_CHECKING:
    from tailrace.app import App

__version__ = "0.1.0"
__all__ = [
    "App",
    "HostEvent",
    "Progress",
    "Run",
    "SessionEvent",
    "ToolContext",
    "__version__",
    "tool",
]


def __getattr__(name: str) -> Any:
    """`App` brings the whole server with it: only those who ask for it wait for that."""
    if name == "App":
        from tailrace.app import App

        return App
    raise AttributeError(name)
