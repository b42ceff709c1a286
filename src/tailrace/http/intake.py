"""Bounds on the bytes of one request, counted by phase before anything is stored. Pure.

Raw bytes are counted when they are read, and those of the body again when the parser has found them: the
difference is chunk sizes, extensions, trailers and empty lines between requests. A read may have bytes of the
next phase, and is counted after it was read, so a bound may be exceeded by two reads (of 256 KiB at most).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

HEAD_BYTES = 65_536
HEADERS = 200
"""Bounds on the head of a request: its size, and how many headers."""
FRAMING_BYTES = 65_536
"""Bound on the framing of a body: chunk sizes, extensions and trailers."""
CHUNK_BYTES = 16
"""Framing that each piece of a body may have besides, with twice its own size: the rule of Go's server
(CVE-2023-39326), which serves a client that sends byte by byte."""
CHUNKS = 1_024
LEAST_BYTES = 64
"""Chunks that a body may have, and the least average size of further ones. A chunk costs some microseconds
whatever its size: without a bound, one read of a quarter megabyte has 43,000, and blocks the event loop."""
UNREAD_BYTES = 524_288
"""Bytes that may be buffered between the socket and the reader of a body (64 KiB and one read). A body may
exceed its bound by this here, so that its reader can reply 413 in the surface's own form."""

Phase = Literal["head", "body", "ended"]


class Refusal(Struct, frozen=True):
    """Why a request is refused: the status line, and the reason for the log."""

    status: bytes
    why: str


MALFORMED = Refusal(b"400 Bad Request", "it is not an HTTP request")
HOST = Refusal(b"400 Bad Request", "it has no Host, or several")
HEAD = Refusal(b"431 Request Header Fields Too Large", "its head is too large")
FRAMING = Refusal(b"400 Bad Request", "its body has too much framing")
BODY = Refusal(b"413 Content Too Large", "its body is too large")
CODING = Refusal(b"501 Not Implemented", "its transfer coding is not chunked")
AFTER = Refusal(b"400 Bad Request", "too many bytes after it that are no request")


class Intake:
    """The counts of the request that is being received."""

    __slots__ = ("chunks", "length", "most", "phase", "spare")

    def __init__(self, most: int) -> None:
        """`most` is the maximum size of a body, in bytes."""
        self.most = most + UNREAD_BYTES
        self.begin()

    def begin(self) -> None:
        """Count a new head."""
        self.phase: Phase = "head"
        self.spare = HEAD_BYTES
        self.length = self.chunks = 0

    def body_begins(self) -> None:
        """The head is complete."""
        self.phase = "body"
        self.spare = FRAMING_BYTES

    def body(self, size: int) -> None:
        """Count a piece of the body that the parser has found."""
        self.length += size
        if self.length > self.most:
            self.spare = -1
        else:
            self.spare = min(self.spare + CHUNK_BYTES + 3 * size, FRAMING_BYTES)

    def chunk(self) -> bool:
        """Count a chunk; False if there are too many."""
        self.chunks += 1
        return self.chunks <= CHUNKS + self.length // LEAST_BYTES

    def end(self) -> None:
        """The request is complete."""
        self.phase = "ended"

    def refusal(self) -> Refusal:
        """The refusal for the bound that is exceeded when `spare` is negative."""
        match self.phase:
            case "head":
                return HEAD
            case "body":
                return BODY if self.length > self.most else FRAMING
            case "ended":
                return AFTER


class BodyFraming(Struct, frozen=True):
    """The framing of a request's body: its header (`b""` without a body), and its length if known."""

    header: bytes = b""
    length: int | None = 0


def head(
    url: bytes, headers: Sequence[tuple[bytes, bytes]], *, version: str
) -> BodyFraming | Refusal:
    """The framing that a complete head declares, or why the request is refused."""
    size, hosts, framing = len(url), 0, BodyFraming()
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                return CODING
            framing = BodyFraming(b"transfer-encoding: chunked", None)
        elif name == b"content-length" and int(value):
            framing = BodyFraming(b"content-length: " + value, int(value))
    if size > HEAD_BYTES:
        return HEAD
    return HOST if hosts > 1 or (not hosts and version == "1.1") else framing
