"""Attribution: a run's agents, which of its nodes are shown, and the keys under which mounts show them.

A mount either attributes (`/agent/{id}`: every agent's items are shown, each under its agent's name) or
does not (`/v1`: a client without the concept of agents gets the main agent's answer alone). The field names
and the limit of 512 characters of a metadata value are those that clients of `/agent/{id}` expect.
"""

from __future__ import annotations

import re

from tailrace.events import types as t
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json

_ITEM = re.compile(r"agent:.+::[a-z]+_(0|[1-9][0-9]{0,9})(?:_[1-9][0-9]{0,4})?", re.DOTALL)
SHOWN_NODE = "deep_agent"
"""The type of the nodes whose items the surfaces of agents show."""
METADATA_VALUE = 512
"""The maximum length of a metadata value, in characters (OpenAI)."""


class Roster:
    """The agents of one run, and its visible nodes, as named by the events so far."""

    def __init__(self) -> None:
        self._entries: dict[str, t.AgentEntry] = {}
        self._nodes: set[str] = set()

    def start(self, payload: t.RunStarted) -> None:
        """Add the agents that the run names when it starts."""
        self._entries = {entry.id: entry for entry in payload.agents}

    def add_agent(self, agent: str, payload: t.AgentStarted) -> None:
        """Add an agent whose invocation started."""
        if agent not in self._entries:
            entry = t.AgentEntry(agent, payload.name, payload.kind, payload.parent)
            self._entries[agent] = entry

    def add_node(self, node: str, payload: t.NodeStarted) -> None:
        """Add a node that started."""
        if payload.node_type == SHOWN_NODE:
            self._nodes.add(node)

    def shows(self, node: str) -> bool:
        """Whether the events of this node are shown."""
        return node in self._nodes

    def is_main(self, agent: str) -> bool:
        """Whether the output of this agent is the answer of the run."""
        entry = self._entries.get(agent)
        return entry is None or entry.kind == "main"

    def entry(self, agent: str) -> t.AgentEntry:
        """An agent's entry; the main agent's for events of the run as a whole."""
        agent = agent or t.MAIN
        return self._entries.get(agent) or t.AgentEntry(agent, agent)

    def metadata(self, key: str) -> dict[str, str]:
        """The roster as metadata pairs. Lines that do not fit are omitted, and a last line states how
        many."""
        lines: list[bytes] = []
        size = 2
        for entry in self._entries.values():
            line = _json(
                {
                    "id": entry.id,
                    "kind": entry.kind,
                    "name": entry.name,
                    "parent_id": entry.parent or None,
                }
            )
            size += len(line.decode()) + 1
            if size > METADATA_VALUE:
                break
            lines.append(line)
        mains = [entry.id for entry in self._entries.values() if entry.kind == "main"]
        pairs = {
            f"{key}_root_agent_id": mains[0] if mains else t.MAIN,
            f"{key}_agent_registry": (b"[" + b",".join(lines) + b"]").decode(),
        }
        if len(lines) < len(self._entries):
            pairs[f"{key}_registry_truncated"] = "true"
        return pairs


def item_id(agent: str, kind: str, item: int) -> str:
    """An item's id where items are attributed: `agent:<invocation>::<kind>_<n>`."""
    return f"agent:{agent or t.MAIN}::{kind}_{item}"


def item_number(id: str) -> int | None:
    """The ordinal in an attributed id of an item, or of a request about it; None for any other id."""
    match = _ITEM.fullmatch(id)
    return int(match[1]) if match else None


def error_metadata(key: str, end: t.RunEnd | None) -> dict[str, str]:
    """A failure as metadata pairs."""
    if not isinstance(end, t.RunFailed):
        return {}
    return {
        f"{key}_error_code": end.code[:METADATA_VALUE],
        f"{key}_error_message": end.message[:METADATA_VALUE],
    }


def about(roster: Roster, agent: str, job: str, seq: int) -> Object:
    """The attribution of a chat chunk: its agent, its job, its position."""
    entry = roster.entry(agent)
    return {
        "agent_id": entry.id,
        "agent_name": entry.name,
        "kind": entry.kind,
        "parent_id": entry.parent or None,
        "job_id": job,
        "seq": seq,
    }
