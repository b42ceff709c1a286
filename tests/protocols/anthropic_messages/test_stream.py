"""The stop reason of a message, in the words of the server that ended it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tailrace.cli.convert import Converter
from tests.support import strict


def _sse(events: list[dict[str, Any]]) -> bytes:
    frames = [f"event: {e['type']}\ndata: {msgspec.json.encode(e).decode()}\n\n" for e in events]
    return "".join(frames).encode()


def _shown(delta: dict[str, Any], target: str = "messages") -> list[dict[str, Any]]:
    """The stop reason that clients are shown for such a reply of a server."""
    text = {"type": "text", "text": ""}
    said = {"type": "text_delta", "text": "One, two"}
    reply: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        {"type": "content_block_delta", "index": 0, "delta": said},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    converter = Converter("messages", target)
    frames = b"".join(converter.feed(_sse(reply))).split(b"\n\n")[:-1]
    return [msgspec.json.decode(data) for data in strict.data_of(frames)]


WHY: dict[str, tuple[str | None, str | None]] = {
    "end_turn": ("end_turn", None),
    "stop_sequence": ("stop_sequence", "three"),
    "pause_turn": ("pause_turn", None),
    "max_tokens": ("max_tokens", None),
    "model_context_window_exceeded": ("model_context_window_exceeded", None),
    "refusal": ("refusal", None),
    "compaction": ("compaction", None),
    "what is yet to come": ("what is yet to come", None),
}


@pytest.mark.parametrize("reason", WHY)
def test_a_message_ends_as_the_server_ended_it(reason: str) -> None:
    wanted, sequence = WHY[reason]
    events = _shown({"stop_reason": reason, "stop_sequence": sequence})
    (delta,) = [event["delta"] for event in events if event["type"] == "message_delta"]
    assert delta == {"stop_reason": wanted, "stop_sequence": sequence}


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_other_surfaces_have_their_own_error_form(target: str) -> None:
    told = msgspec.json.encode(_shown({"stop_reason": "pause_turn"}, target)[-1]).decode()
    assert "pause_turn" not in told
