"""tailrace: run AI agents durably; tail any run over any protocol."""

from tailrace.runtimes.tools.functions import ToolContext, tool

__version__ = "0.1.0"
__all__ = ["ToolContext", "__version__", "tool"]
