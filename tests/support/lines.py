"""The order of a session's lines; and each line is one of the published events, field for field."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tailrace.protocols.session_lines import wire_events, wire_messages

_decode = msgspec.json.Decoder(wire_events.SessionEvent, strict=True).decode


def check(frames: Iterable[bytes], *, whole: bool = True) -> list[wire_events.SessionEvent]:
    """Raise `AssertionError` at the first line that is out of place; returns the events."""
    events: list[wire_events.SessionEvent] = []
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
        assert isinstance(event, wire_events.SessionStart) == (not events)
        match event:
            case wire_events.MessageStart():
                speaking += 1
            case wire_events.MessageUpdate():
                assert speaking, "an update of no message"
                text = isinstance(event.event, wire_messages.TextDeltaPiece)
                assert event.delta == (
                    event.event.delta
                    if isinstance(event.event, wire_messages.TextDeltaPiece)
                    else ""
                )
                assert text or not event.delta
            case wire_events.MessageEnd():
                speaking -= 1
            case wire_events.TurnStart():
                assert not turn
                turn = True
            case wire_events.TurnComplete():
                assert turn
                turn = False
            case wire_events.ToolBefore():
                tools.append(event.tool_call_id)
            case wire_events.ToolAfter():
                tools.remove(event.tool_call_id)
            case _:
                pass
        events.append(event)
    assert speaking >= 0
    if whole:
        assert not speaking
        assert not tools
        failed = isinstance(events[-1], wire_events.Error)
        ended = isinstance(events[-2], wire_events.SessionEnd) and isinstance(
            events[-1], wire_events.SessionContextUsage
        )
        assert failed or ended
    return events
