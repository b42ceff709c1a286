"""A run as the native stream: one frame per event, `id:` the event's `seq`. Nothing is hidden.

Frame n is event n, so `Last-Event-ID: n` and `?after=n` both mean: from frame n + 1 on. The fixed part of
an envelope changes only with the node and the agent, so it is rendered once for each pair.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.events import ids
from tailrace.events.types import AgentStarted, Event, NodeStarted, RunEnd, RunStarted
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json
from tailrace.protocols.node_stream.wire import RUN, VERSION

NAMING = (RunStarted, NodeStarted, AgentStarted)
"""Events that say what a node or an agent is called."""


class NodeStreamEncoder:
    """`StreamEncoder` for one run."""

    def __init__(self, run: str) -> None:
        self.done = False
        names: Object = {
            "v": VERSION,
            "job_id": ids.job_id(run),
            "run_id": ids.run_id(run),
        }
        self._names = _json(names)[:-1]
        self._nodes: dict[str, tuple[str, str]] = {"": (RUN, "")}
        self._parents: dict[str, str] = {}
        self._sources: dict[tuple[str, str], bytes] = {}

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        frames = list[bytes]()
        for event in events:
            payload = event.payload
            if isinstance(payload, NAMING):
                self._name(event)
            source = self._sources.get((event.node, event.agent)) or self._source(event)
            frames.append(
                b'id: %d\nevent: node\ndata: %b,"seq":%d,"ts":%d,%b,"payload":%b}\n\n'
                % (event.seq, self._names, event.seq, event.ts, source, _json(payload))
            )
        self.done = self.done or (bool(events) and isinstance(events[-1].payload, RunEnd))
        return frames

    def _name(self, event: Event) -> None:
        match event.payload:
            case RunStarted():
                self._nodes[""] = (RUN, event.payload.request.agent)
            case NodeStarted():
                self._nodes[event.node] = (event.payload.node_type, event.payload.name)
            case AgentStarted():
                self._parents[event.agent] = event.payload.parent
            case _:
                pass

    def _source(self, event: Event) -> bytes:
        """Who made the event, as JSON fields."""
        node_type, name = self._nodes[event.node]
        source: Object = {
            "node_id": event.node or RUN,
            "node_type": node_type,
            "node_name": name,
            "agent_id": event.agent or None,
            "parent_id": self._parents.get(event.agent) or None,
        }
        rendered = _json(source)[1:-1]
        self._sources[event.node, event.agent] = rendered
        return rendered
