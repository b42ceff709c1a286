"""`--json`: a surface's frames as JSON documents, one a line, and nothing else."""

from __future__ import annotations

from tailrace.protocols.framing.sse import SseDecoder

LINES = "session"
"""The surface whose frames are such lines already."""
END = b"[DONE]"
"""What ends some surfaces' streams, and is no JSON."""


class JsonLines:
    """Feed the bytes of a surface's stream, in any pieces, get lines."""

    def __init__(self, surface: str) -> None:
        self._plain = surface == LINES
        self._decoder = SseDecoder()

    def feed(self, data: bytes) -> bytes:
        """The lines of the frames that these bytes complete."""
        if self._plain:
            return data
        frames = [event.data for event in self._decoder.feed(data)]
        return b"".join(frame + b"\n" for frame in frames if frame.strip() not in (b"", END))


class Bytes:
    """The same for who wants the frames as they are."""

    def feed(self, data: bytes) -> bytes:
        """These bytes."""
        return data


def frames(surface: str, *, json: bool) -> JsonLines | Bytes:
    """How a surface's stream is printed."""
    return JsonLines(surface) if json else Bytes()
