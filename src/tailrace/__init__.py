"""tailrace: run AI agents durably; tail any run over any protocol."""

from tailrace.runtimes.tools.contract import Progress, ToolContext
from tailrace.runtimes.tools.functions import tool

__version__ = "0.1.0"
__all__ = ["Progress", "ToolContext", "__version__", "tool"]
