"""The order of a Messages stream, as the SDKs require it: one block at a time, indexes without a gap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "compaction": {"compaction_delta"},
    "mcp_tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
}


def check(frames: Iterable[bytes], *, whole: bool = True) -> list[dict[str, Any]]:
    """Raise `AssertionError` at the first frame out of order; returns the events. `whole`: it has ended."""
    events: list[dict[str, Any]] = []
    count, block = 0, ""
    for frame in frames:
        name, _, data = frame.partition(b"\ndata: ")
        assert frame.endswith(b"\n\n")
        assert frame.count(b"\n") == 3
        event = msgspec.json.decode(data)
        assert name == b"event: " + event["type"].encode()
        assert (event["type"] == "message_start") == (not events), "begins with message_start"
        kind = event["type"]
        if kind == "content_block_start":
            assert (event["index"], block) == (count, ""), "one block at a time"
            block = event["content_block"]["type"]
        elif kind in ("content_block_delta", "content_block_stop"):
            assert block, f"{kind} in no block"
            assert event["index"] == count
            if kind == "content_block_delta":
                assert event["delta"]["type"] in DELTAS.get(block, ())
            else:
                count, block = count + 1, ""
        elif kind in ("message_delta", "message_stop"):
            assert not block
        events.append(event)
    if whole:
        kinds = [event["type"] for event in events]
        assert kinds[-1] == "error" or kinds[-2:] == ["message_delta", "message_stop"]
    return events
