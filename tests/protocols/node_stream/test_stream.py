"""The native stream: every event in its envelope, whatever its node or payload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tailrace.events import types as t
from tailrace.protocols.node_stream import stream
from tailrace.protocols.node_stream.stream import NodeStreamEvent
from tests.support import strict
from tests.support.legal_logs import NODES, legal_logs
from tests.support.logs import NODE, RUN, log


def encode(events: Sequence[t.Event]) -> list[bytes]:
    return stream.NodeStreamEncoder(RUN).encode(events)


def envelopes(events: Sequence[t.Event]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in strict.data_of(encode(events))]


@pytest.mark.req("R3")
@pytest.mark.req("R11")
@pytest.mark.req("R28")
@pytest.mark.req("R29")
@pytest.mark.req("R30")
@given(events=legal_logs())
def test_frame_n_is_event_n_and_names_its_node(events: Sequence[t.Event]) -> None:
    frames, made = encode(events), envelopes(events)
    types = {"": "run", **NODES}
    for event, frame, envelope in zip(events, frames, made, strict=True):
        assert frame.decode().splitlines()[:2] == [f"id: {event.seq}", "event: node"]
        assert frame.decode().splitlines()[3:] == [""]
        shown = msgspec.convert(envelope, NodeStreamEvent)
        assert (shown.v, shown.job_id, shown.run_id) == (1, f"job_{RUN}", f"run_{RUN}")
        assert (shown.seq, shown.ts, shown.payload) == (event.seq, event.ts, event.payload)
        assert (shown.node_id, shown.node_type) == (event.node or "run", types[event.node])
        assert shown.agent_id == (event.agent or None)


def test_an_agent_names_its_parent() -> None:
    body = [
        t.Draft(t.AgentStarted("researcher", "subagent", t.MAIN, 0), NODE, "researcher#1"),
        t.Draft(t.Custom("found", [1]), NODE, "researcher#1"),
    ]
    made = envelopes(log(body, end=t.RunCompleted()))
    said = [e for e in made if e["agent_id"] == "researcher#1"]
    assert {e["parent_id"] for e in said} == {"MAIN"}
    assert made[0]["node_name"] == "helper"


@pytest.mark.req("R13")
def test_an_unknown_node_type_passes_through() -> None:
    body = [
        t.Draft(t.NodeStarted("hologram", "Projector"), "n9"),
        t.Draft(t.Custom("hologram.frame", {"layers": [1, {"z": 0.5}]}), "n9"),
    ]
    made = [e for e in envelopes(log(body, end=t.RunCompleted())) if e["node_id"] == "n9"]
    assert {e["node_type"] for e in made} == {"hologram"}
    assert made[1]["payload"] == {
        "type": "custom",
        "name": "hologram.frame",
        "data": {"layers": [1, {"z": 0.5}]},
    }
