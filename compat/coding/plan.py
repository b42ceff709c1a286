"""What the stand-in for a model says next, decided by the conversation alone.

The main conversation runs two commands side by side, hands a task to a subagent and waits for it where the
client has a tool for that, calls a tool of an MCP server, and says that it is done; the subagent runs a
command and reports. Tools that are not offered are searched for. The last mark in a conversation says whose
it is. Codex with models of some names has one tool that runs scripts instead of all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MAIN, SUB = "MARK-MAIN", "MARK-SUB"
DONE, REPORT = "All four are done.", "The subagent's report."


@dataclass(frozen=True)
class Call:
    """A tool as it is offered, and what it is called with."""

    name: str
    namespace: str
    arguments: Mapping[str, Any] | str
    """A text of a tool that takes one."""


@dataclass(frozen=True)
class Turn:
    """A request, in whatever dialect: the tools, the calls so far, their outputs, the users' texts."""

    tools: tuple[tuple[str, str], ...]
    """Namespace and name."""
    called: tuple[str, ...]
    outputs: tuple[str, ...]
    asked: str


@dataclass(frozen=True)
class Reply:
    """What the model says: a thought, a text, calls."""

    thought: str
    text: str
    calls: tuple[Call, ...] = ()


def reply(turn: Turn) -> Reply:
    """What comes next."""
    main, sub = turn.asked.rfind(MAIN), turn.asked.rfind(SUB)
    if main < 0 and sub < 0:
        return Reply("", "A title.")
    try:
        return _below(turn) if sub > main else _above(turn)
    except LookupError as error:
        return Reply("", f"I am offered no {error}.")


def _below(turn: Turn) -> Reply:
    command = _tool(turn, COMMAND)
    if command.name not in turn.called:
        return Reply("I think below.", "", (_command(command, "echo below"),))
    return Reply("", REPORT)


def _above(turn: Turn) -> Reply:
    command = _tool(turn, COMMAND)
    if command.name not in turn.called:
        both = _command(command, "echo one"), _command(command, "echo two")
        return Reply("I think of commands.", "I run two commands.", both)
    if ("", SEARCH) in turn.tools and SEARCH not in turn.called:
        queries = ({"query": "spawn agent wait"}, {"query": "helper echo"})
        calls = tuple(Call(SEARCH, "", query) for query in queries)
        return Reply("I search.", "", calls)
    agent = _tool(turn, AGENT)
    if agent.name not in turn.called:
        return Reply("I think of a subagent.", "", (_task(agent),))
    if not any(REPORT in text for text in (*turn.outputs, turn.asked)):
        return Reply("", "I wait.", (_wait(_tool(turn, WAIT), turn.outputs),))
    searched = "ToolSearch" in turn.called
    if command.name.endswith("exec"):
        if "hello" not in "".join(turn.outputs):
            script = f'text(await tools.{MCP}({{what: "hello"}}))'
            return Reply("I think of MCP.", "", (replace(command, arguments=script),))
        return Reply("", DONE)
    if not searched and ("", "ToolSearch") in turn.tools:
        return Reply("I search.", "", (Call("ToolSearch", "", {"query": f"select:{MCP}"}),))
    mcp = Call(MCP, "", {}) if searched else _tool(turn, f"{MCP}|echo")
    if mcp.name not in turn.called:
        return Reply("I think of MCP.", "", (replace(mcp, arguments={"what": "hello"}),))
    return Reply("", DONE)


COMMAND = "exec_command|shell|shell_command|Bash|(functions__)?exec"
AGENT = "(.*__)?spawn_agent|Agent|Task"
WAIT = "(.*__)?wait_agent"
MCP = "mcp__helper__echo"
SEARCH = "tool_search"
"""Codex's search for tools, where its model's tools are many."""


def arguments(call: Call) -> Mapping[str, Any]:
    """What a tool is called with where all tools take objects."""
    return {"input": call.arguments} if isinstance(call.arguments, str) else call.arguments


def fits(name: str) -> bool:
    """Whether servers take the name for a tool."""
    return re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) is not None


def _tool(turn: Turn, names: str) -> Call:
    """The first offered tool of one of the names. Raises `LookupError`."""
    for namespace, name in turn.tools:
        if re.fullmatch(names, name):
            return Call(name, namespace, {})
    raise LookupError(names)


def _command(tool: Call, command: str) -> Call:
    match tool.name:
        case "exec_command":
            arguments: dict[str, Any] = {"cmd": command}
        case "shell":
            arguments = {"command": ["bash", "-lc", command]}
        case "exec" | "functions__exec":
            return replace(tool, arguments=f'text(await tools.exec_command({{cmd: "{command}"}}))')
        case _:
            arguments = {"command": command}
    return Call(tool.name, tool.namespace, arguments)


def _task(tool: Call) -> Call:
    task = f"{SUB} Run a command and report."
    if tool.name in ("Agent", "Task"):
        arguments = {
            "description": "Run below",
            "prompt": task,
            "subagent_type": "general-purpose",
            "run_in_background": False,
        }
    else:
        arguments = {"message": task, "task_name": "below"}
    return Call(tool.name, tool.namespace, arguments)


def _wait(tool: Call, outputs: tuple[str, ...]) -> Call:
    """The wait for the agents that spawning named by ids; where it named none, for any."""
    ids = re.findall(r'"agent_id": ?"([^"]+)"', "".join(outputs))
    return replace(tool, arguments={"timeout_ms": 10000, **({"targets": ids} if ids else {})})
