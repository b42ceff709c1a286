"""What a built-in agent is made of: nothing but data and the things it may use.

Agents form a tree by `subagents`; whoever builds one sees to it that nobody is his own ancestor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from tailrace.events.request import OutputFormat
from tailrace.events.types import MAIN, AgentEntry
from tailrace.models.contract import Model
from tailrace.runtimes.tools.contract import Tool, ToolSource


class AgentLimits(Struct, frozen=True, kw_only=True):
    """What ends a run as incomplete. Zero means: no limit. All but `turns` count the whole run.

    `turns`: model replies of one invocation. `tokens`: input and output. `cost` in the currency of the
    configured prices. `seconds` of work since the agent began, over all attempts; without waits for people.
    """

    turns: int = 32
    tool_calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent. `asks_user` lets the model put questions to a person; `context_tokens` is the size at
    which its history is shortened, 0 for never; `output` is the form its answers must have.
    """

    name: str
    model: Model
    description: str = ""
    instructions: str = ""
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    sources: Sequence[ToolSource] = ()
    subagents: Mapping[str, Agent] = field(default_factory=dict[str, "Agent"])
    asks_user: bool = False
    output: OutputFormat | None = None
    context_tokens: int = 0
    limits: AgentLimits = field(default_factory=AgentLimits)

    def registry(self, id: str = MAIN) -> tuple[AgentEntry, ...]:
        """Everyone who may take part: the agent itself as the main one, then those below it."""
        entries = [AgentEntry(id, self.name)]
        for entry in self._below(id):
            if all(entry.id != each.id for each in entries):
                entries.append(entry)
        return tuple(entries)

    def _below(self, parent: str) -> Iterator[AgentEntry]:
        for name, agent in self.subagents.items():
            yield AgentEntry(name, name, "subagent", parent)
            yield from agent._below(name)
