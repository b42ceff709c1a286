"""The tools of one agent at work: its functions, and the current tools of its servers.

A server that is unavailable when an agent starts fails the run, because nothing is lost yet. When an agent
continues (after an answer, in another process) the tools of such a server are missing until it is back:
calls of them wait up to the server's timeout, and then get an error that the model reads.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from tailrace.errors import ModelFailed, ToolSourceFailed
from tailrace.events.item_state import ItemState
from tailrace.events.request import ToolSpec
from tailrace.runtimes.agent import Agent
from tailrace.runtimes.tools.contract import (
    AfterCrash,
    Tool,
    ToolContext,
    ToolResult,
    ToolSource,
    not_made,
)
from tailrace.runtimes.tools.dispatch import ASK_USER, TASK, ask_user_spec, task_spec

logger = logging.getLogger("tailrace.runtimes")

LONGEST_NAME = 64
"""The maximum length of a tool's name at model servers, in characters."""


class Toolbox:
    """The tools of `agent`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._tools: dict[str, Tool] = {}
        self._away: dict[str, ToolSource] = {}

    async def fill(self, *, has_replied: bool, patient: bool) -> None:
        """List the tools of all servers; `has_replied` if the agent has worked before. Raises `ModelFailed`
        if a server is unavailable and the agent has not worked yet; with `patient`, only after the server's
        timeout."""
        self._tools = dict(self._agent.tools)
        self._away = {}
        for source in self._agent.sources:
            try:
                tools = await source.tools(patient=patient and not has_replied)
            except ToolSourceFailed as error:
                if not has_replied:
                    logger.warning("%s", error)
                    raise ModelFailed(f"{error.message}.") from None
                self._away[source.label] = source
            else:
                self._take(tools)

    async def look_again(self) -> None:
        """List the tools of servers again that were unavailable."""
        if self._away:
            await self.fill(has_replied=True, patient=False)

    def of_item(self, item: ItemState) -> Tool | None:
        """The tool of a call; if its server is unavailable, one that waits for the server."""
        started = item.started
        if started.name not in self._tools and started.server_label in self._away:
            return ToolOfAbsentServer(
                self, started.name, started.server_label, approval=started.waits_for == "approval"
            )
        return self._tools.get(started.name)

    def by_name(self, name: str) -> Tool | None:
        """The tool of this name, or None."""
        return self._tools.get(name)

    async def wait_for(self, name: str, label: str) -> Tool | None:
        """A tool of an unavailable server, once the server is back. Raises `ToolSourceFailed`."""
        source = self._away.get(label)
        if source is not None:
            await source.tools(patient=True)
            await self.look_again()
        return self._tools.get(name)

    def specs(self, theirs: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
        """The tools that the model is offered: the agent's, then those of the client whose names the agent
        does not use."""
        ours = [msgspec.structs.replace(tool.spec, name=name) for name, tool in self._tools.items()]
        if self._agent.subagents:
            below = {name: agent.description for name, agent in self._agent.subagents.items()}
            ours.append(task_spec(below))
        if self._agent.asks_user:
            ours.append(ask_user_spec())
        names = {spec.name for spec in ours}
        return (*ours, *(spec for spec in theirs if not spec.name or spec.name not in names))

    def _take(self, tools: Sequence[Tool]) -> None:
        ours = {TASK} if self._agent.subagents else set[str]()
        ours |= {ASK_USER} if self._agent.asks_user else set[str]()
        for tool in tools:
            name = tool.spec.name
            if name in self._tools or name in ours:
                name = name_with_prefix(tool.server_label, name, self._tools)
            self._tools[name] = tool


class ToolOfAbsentServer:
    """A tool of an unavailable server. It is unknown whether its calls may be repeated, so they are not."""

    runs_on: Literal["server", "mcp"] = "mcp"
    after_crash: AfterCrash = "tell"

    def __init__(self, box: Toolbox, name: str, label: str, *, approval: bool) -> None:
        self._box = box
        self.spec = ToolSpec(name=name)
        self.server_label = label
        self.approval = approval

    async def call(self, arguments: str, context: ToolContext) -> ToolResult:
        """Call the tool when its server is back."""
        try:
            tool = await self._box.wait_for(self.spec.name, self.server_label)
        except ToolSourceFailed as error:
            return not_made(error.message)
        if tool is None:
            return ToolResult(f"There is no tool named {self.spec.name}.", is_error=True)
        return await tool.call(arguments, context)


def name_with_prefix(label: str, name: str, names: Collection[str]) -> str:
    """A name for a tool whose own name is taken: prefixed with its server's, and shortened to the allowed
    length."""
    whole = f"{label}__{name}"
    if len(whole) <= LONGEST_NAME and whole not in names:
        return whole
    mark = sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: LONGEST_NAME - len(mark) - 1]}_{mark}"
