"""The parts of a built-in agent, and its model's request for a client's request.

Agents form a tree by `subagents`; the code that builds one ensures that no agent is its own ancestor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from tailrace.errors import ModelFailed
from tailrace.events.items import Item
from tailrace.events.request import ModelRequest, OutputFormat, RunRequest, ToolChoice
from tailrace.events.types import MAIN, AgentEntry
from tailrace.models.contract import Model, refusal
from tailrace.runtimes import variables
from tailrace.runtimes.tools.contract import Tool, ToolSource


class AgentLimits(Struct, frozen=True, kw_only=True):
    """Limits that end a run as incomplete; 0 is no limit. All but `turns` apply to the whole run.

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
    """An agent. `asks_user` lets the model put questions to a person; `context_tokens` is the size at which
    its history is compacted, 0 for never; `output` is the format that its answers must have."""

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
        """All agents that may take part: this one as the main agent, then its subagents."""
        entries = [AgentEntry(id, self.name)]
        for entry in self._below(id):
            if all(entry.id != each.id for each in entries):
                entries.append(entry)
        return tuple(entries)

    def _below(self, parent: str) -> Iterator[AgentEntry]:
        for name, agent in self.subagents.items():
            yield AgentEntry(name, name, "subagent", parent)
            yield from agent._below(name)


def model_request(agent: Agent, request: RunRequest, items: Sequence[Item]) -> ModelRequest:
    """The request for the agent's model: its own instructions before the client's, and the required format
    of the answer unless the client requests another one."""
    settings = request.settings
    if agent.output is not None and settings.output.kind == "text":
        settings = msgspec.structs.replace(settings, output=agent.output)
    own = variables.fill(agent.instructions, request)
    instructions = "\n\n".join(filter(None, (own, request.instructions)))
    return ModelRequest(items=tuple(items), instructions=instructions, settings=settings)


def refusal_of(agent: Agent, model: Model, request: RunRequest) -> ModelFailed | None:
    """The reason why the agent's model cannot serve a client's request, if it is known before the run, or
    `""`. The agent's tools are not known yet, so a choice among them is checked by the run."""
    probe = model_request(agent, request, (*request.history, *request.input))
    settings = msgspec.structs.replace(probe.settings, tool_choice=ToolChoice())
    return refusal(model, msgspec.structs.replace(probe, settings=settings))
