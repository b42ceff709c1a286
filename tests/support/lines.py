"""The order of a session's lines, and that each of them is one of the published events, field for field."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tailrace.protocols.session_lines import host as h
from tailrace.protocols.session_lines import runtime as r

_decode = msgspec.json.Decoder(h.SessionEvent, strict=True).decode


def check(frames: Iterable[bytes], *, whole: bool = True) -> list[h.SessionEvent]:
    """Raise `AssertionError` at the first line that is out of place; returns the events."""
    events: list[h.SessionEvent] = []
    speaking = 0
    turn = False
    tools: list[str] = []
    for frame in frames:
        assert frame.isascii()
        assert frame.endswith(b"}\n")
        assert frame.count(b"\n") == 1
        event = _decode(frame)
        again = msgspec.json.decode(msgspec.json.encode(event))
        assert msgspec.json.decode(frame) == again, "a field nobody published"
        assert isinstance(event, r.SessionStart) == (not events)
        match event:
            case r.MessageStart():
                speaking += 1
            case r.MessageUpdate():
                assert speaking, "an update of no message"
                text = isinstance(event.event, r.TextDeltaPiece)
                assert event.delta == (
                    event.event.delta if isinstance(event.event, r.TextDeltaPiece) else ""
                )
                assert text or not event.delta
            case r.MessageEnd():
                speaking -= 1
            case r.TurnStart():
                assert not turn
                turn = True
            case r.TurnComplete():
                assert turn
                turn = False
            case r.ToolBefore():
                tools.append(event.tool_call_id)
            case r.ToolAfter():
                tools.remove(event.tool_call_id)
            case _:
                pass
        events.append(event)
    assert speaking >= 0
    if whole:
        assert not speaking
        assert not tools
        failed = isinstance(events[-1], h.Error)
        ended = isinstance(events[-2], r.SessionEnd) and isinstance(
            events[-1], h.SessionContextUsage
        )
        assert failed or ended
    return events
