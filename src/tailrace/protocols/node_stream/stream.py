"""A run as the native stream: one frame per event, `id:` the event's `seq`. Nothing is hidden but the claims
and headers of the caller: they are for the agent's code, and others of the tenant may read the stream.

Frame n is event n, so `Last-Event-ID: n` and `?after=n` both mean: from frame n + 1 on. The fixed part of an
envelope changes only with the node and the agent, so it is rendered once for each pair. Events of the run as
a whole have the node "run", so that a reader can group by node without exceptions.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.protocols.encoder import PAYLOADS, RUN_ENDS, FrameEncoder, Table
from tailrace.protocols.fields import Object
from tailrace.protocols.framing.json_line import encode as _json

VERSION = 1
RUN = "run"
"""Node id and type of events that belong to the run as a whole."""


class NodeStreamEvent(Struct, frozen=True, kw_only=True):
    """One event. `ts` in milliseconds since the epoch; `agent_id` and `parent_id` null where no agent
    made the event. `data` of the SSE frame with `id: <seq>` and `event: node`."""

    v: int
    job_id: str
    run_id: str
    seq: int
    ts: int
    node_id: str
    node_type: str
    node_name: str
    agent_id: str | None
    parent_id: str | None
    payload: t.Payload


class NodeStreamEncoder(FrameEncoder):
    """`StreamEncoder` for one run."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        envelope: Object = {
            "v": VERSION,
            "job_id": ids.job_id(run),
            "run_id": ids.run_id(run),
        }
        self._envelope = _json(envelope)[:-1]
        self._nodes: dict[str, tuple[str, str]] = {"": (RUN, "")}
        self._parents: dict[str, str] = {}
        self._sources: dict[tuple[str, str], bytes] = {}

    def _show(self, event: t.Event, payload: t.Payload) -> None:
        source = self._sources.get((event.node, event.agent)) or self._source(event)
        self._frames.append(
            b'id: %d\nevent: node\ndata: %b,"seq":%d,"ts":%d,%b,"payload":%b}\n\n'
            % (event.seq, self._envelope, event.seq, event.ts, source, _json(payload))
        )

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._nodes[""] = (RUN, payload.request.agent)
        request = _without_claims(payload.request)
        self._show(event, msgspec.structs.replace(payload, request=request))

    def _on_node_started(self, event: t.Event, payload: t.NodeStarted) -> None:
        self._nodes[event.node] = (payload.node_type, payload.name)
        self._show(event, payload)

    def _on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> None:
        self._parents[event.agent] = payload.parent
        self._show(event, payload)

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        self.done = True
        self._show(event, payload)

    def _source(self, event: t.Event) -> bytes:
        """The node and the agent of the event, as JSON fields."""
        node_type, name = self._nodes[event.node]
        fields: Object = {
            "node_id": event.node or RUN,
            "node_type": node_type,
            "node_name": name,
            "agent_id": event.agent or None,
            "parent_id": self._parents.get(event.agent) or None,
        }
        source = self._sources[event.node, event.agent] = _json(fields)[1:-1]
        return source

    SHOWN: ClassVar[Table] = {
        **dict.fromkeys(PAYLOADS, _show),
        t.RunStarted: _on_run_started,
        t.NodeStarted: _on_node_started,
        t.AgentStarted: _on_agent_started,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
    }
    HIDDEN = frozenset()


def _without_claims(request: RunRequest) -> RunRequest:
    if not (request.headers or request.caller.claims):
        return request
    caller = msgspec.structs.replace(request.caller, claims={})
    return msgspec.structs.replace(request, caller=caller, headers={})
