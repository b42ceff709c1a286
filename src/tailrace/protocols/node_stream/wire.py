"""The native envelope: what every event of every node looks like on the native stream.

`v` versions the envelope; the payload is the stored event itself (docs/events.schema.json). Events of
the run as a whole name the node "run", so that a reader can group by node without exceptions.
"""

from __future__ import annotations

from msgspec import Struct

from tailrace.events.types import Payload

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
    payload: Payload
