"""tailrace: run AI agents durably; tail any run over any protocol."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - where pip has not been asked
    _OLD = "tailrace needs Python 3.11 or later; this is Python %d.%d." % sys.version_info[:2]  # noqa: UP031
    if sys.argv[:1] == ["-m"]:  # the process is `python -m tailrace`
        sys.exit(_OLD)
    raise ImportError(_OLD)

if TYPE_CHECKING:
    from tailrace.app import App
    from tailrace.events.request import RunCaller
    from tailrace.events.types import Usage
    from tailrace.protocols.session_lines.wire_events import HostEvent, SessionEvent
    from tailrace.runtimes.adapters.generator.run import Custom, Run
    from tailrace.runtimes.adapters.langgraph.runtime import LangGraphRuntime
    from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime
    from tailrace.runtimes.adapters.pydantic_ai.runtime import PydanticAIRuntime
    from tailrace.runtimes.current import CurrentRun, current_run
    from tailrace.runtimes.nodes.contract import NodeContext, NodeSpec
    from tailrace.runtimes.tools.contract import Progress, ToolContext, ToolError
    from tailrace.runtimes.tools.functions import tool

__version__ = "0.1.0"
__all__ = [
    "App",
    "CurrentRun",
    "Custom",
    "HostEvent",
    "LangGraphRuntime",
    "NodeContext",
    "NodeSpec",
    "OpenAIAgentsRuntime",
    "Progress",
    "PydanticAIRuntime",
    "Run",
    "RunCaller",
    "SessionEvent",
    "ToolContext",
    "ToolError",
    "Usage",
    "__version__",
    "current_run",
    "tool",
]

_WHERE = {
    "App": "tailrace.app",
    "CurrentRun": "tailrace.runtimes.current",
    "Custom": "tailrace.runtimes.adapters.generator.run",
    "HostEvent": "tailrace.protocols.session_lines.wire_events",
    "LangGraphRuntime": "tailrace.runtimes.adapters.langgraph.runtime",
    "NodeContext": "tailrace.runtimes.nodes.contract",
    "NodeSpec": "tailrace.runtimes.nodes.contract",
    "OpenAIAgentsRuntime": "tailrace.runtimes.adapters.openai_agents.runtime",
    "Progress": "tailrace.runtimes.tools.contract",
    "PydanticAIRuntime": "tailrace.runtimes.adapters.pydantic_ai.runtime",
    "Run": "tailrace.runtimes.adapters.generator.run",
    "RunCaller": "tailrace.events.request",
    "SessionEvent": "tailrace.protocols.session_lines.wire_events",
    "ToolContext": "tailrace.runtimes.tools.contract",
    "ToolError": "tailrace.runtimes.tools.contract",
    "Usage": "tailrace.events.types",
    "current_run": "tailrace.runtimes.current",
    "tool": "tailrace.runtimes.tools.functions",
}


def __getattr__(name: str) -> Any:
    """Each name is imported on first use: every module of ours begins by importing this one."""
    if name not in _WHERE:
        raise AttributeError(name)
    return getattr(importlib.import_module(_WHERE[name]), name)
