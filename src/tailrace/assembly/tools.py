"""Python objects that a configuration names by import path, and the tools and MCP servers of its agents."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from tailrace.assembly.auth import secret
from tailrace.config import AgentConfig, Config, McpConfig, nearest
from tailrace.errors import ConfigError
from tailrace.runtimes import variables
from tailrace.runtimes.tools.contract import Tool
from tailrace.runtimes.tools.dispatch import ASK_USER, TASK
from tailrace.runtimes.tools.functions import FunctionTool

if TYPE_CHECKING:
    from tailrace.runtimes.tools.mcp import McpServer
    from tailrace.runtimes.tools.mcp_endpoint import CallHeaders


def import_from(folder: Path) -> None:
    """Add a folder to Python's import path: an agent's modules may lie beside the configuration."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)


def import_object(where: str, path: str) -> object:
    """The object `module:name`. `where` begins each error. Raises `ConfigError`, also for an exception in the
    module itself, with its message in one line."""
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # user code: importing it may raise anything
        raise ConfigError(f"{where}: cannot import {module_name}: {error}") from None
    if not hasattr(module, name):
        hint = nearest(name, [n for n in dir(module) if not n.startswith("_")])
        raise ConfigError(f"{where}: {module_name} has no {name}{hint}")
    return getattr(module, name)


def function_tool(where: str, path: str) -> FunctionTool:
    """The function at an import path as a tool. Raises `ConfigError`."""
    function = import_object(where, path)
    if not callable(function):
        raise ConfigError(f"{where}: a {type(function).__name__} is not a function")
    try:
        return FunctionTool(function)
    except (TypeError, NameError) as error:
        raise ConfigError(f"{where}: {error}") from None


def function_tools(name: str, agent: AgentConfig) -> dict[str, Tool]:
    """The functions that an agent may call, by tool name. Raises `ConfigError`."""
    functions = [function_tool(f"[agents.{name}] tool {path!r}", path) for path in agent.tools]
    tools = {tool.name: tool for tool in functions}
    if len(tools) < len(functions):
        raise ConfigError(f"[agents.{name}] two of its tools have the same name")
    for reserved_name, in_use in ((TASK, bool(agent.subagents)), (ASK_USER, agent.ask_user)):
        if in_use and reserved_name in tools:
            raise ConfigError(
                f"[agents.{name}] a tool of yours cannot be named {reserved_name!r} here"
            )
    for tool in agent.approve:
        if tool not in tools:
            raise ConfigError(f"[agents.{name}] approve: no tool {tool!r}{nearest(tool, tools)}")
        tools[tool].approval = True
    return dict(tools)


def mcp_servers(config: Config) -> dict[str, tuple[McpServer, ...]]:
    """The MCP servers of each agent. Agents whose entries are equal share one server. Raises
    `ConfigError`."""
    by_entry: dict[bytes, McpServer] = {}
    by_agent: dict[str, tuple[McpServer, ...]] = {}
    for name, agent in config.agents.items():
        servers: list[McpServer] = []
        for entry in agent.mcp:
            key = msgspec.json.encode(entry, order="deterministic")
            if key not in by_entry:
                where = f"[agents.{name}] mcp {entry.label!r}"
                by_entry[key] = _mcp_server(where, entry, config)
            servers.append(by_entry[key])
        by_agent[name] = tuple(servers)
    return by_agent


def _call_headers(where: str, path: str, folder: Path) -> CallHeaders | None:
    if not path:
        return None
    import_from(folder)
    function = import_object(f"{where} call_headers {path!r}", path)
    if not callable(function):
        raise ConfigError(f"{where} call_headers: a {type(function).__name__} is not a function")
    return cast("CallHeaders", function)


def _mcp_server(where: str, entry: McpConfig, config: Config) -> McpServer:
    if importlib.util.find_spec("mcp") is None:
        raise ConfigError(f"{where}: MCP needs more packages: pip install 'tailrace[mcp]'")
    variable_headers = {
        name: text for name, text in entry.headers.items() if variables.VARIABLE.search(text)
    }
    for text in variable_headers.values():
        if fault := variables.fault(text, {name.lower() for name in config.server.run_headers}):
            raise ConfigError(f"{where} headers: {fault}")
    headers = {name: text for name, text in entry.headers.items() if name not in variable_headers}
    for header, variable in entry.header_env.items():
        headers[header] = secret(f"{where}:", variable)
    from tailrace.runtimes.tools.mcp import McpServer  # few configurations need it
    from tailrace.runtimes.tools.mcp_endpoint import Endpoint

    endpoint = Endpoint(
        label=entry.label,
        url=entry.url,
        command=entry.command,
        args=entry.args,
        env=entry.env,
        cwd=str(config.folder.resolve()),
        private=config.server.allow_private,
        headers=headers,
        run_headers=variable_headers,
        call_headers=_call_headers(where, entry.call_headers, config.folder),
        send_caller=entry.send_caller,
    )
    return McpServer(endpoint, allow=entry.allow, approval=entry.approval, timeout=entry.timeout)
