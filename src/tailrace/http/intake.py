"""How much may come in with one request: counts by phase, before anything is kept. Pure.

Raw bytes are counted as they are read, and those of the body again when the parser has found them: the rest
is chunk sizes, their extensions, trailers, empty lines between requests, and nobody has to look at it. What a
read holds of the next phase is not counted for that, and what is too much was read already, so a bound may be
passed by two reads (of 256 KiB at most), and by no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

HEAD_BYTES = 65_536
HEADERS = 200
"""Bounds on the head of a request: its size, and how many headers."""
FRAMING_BYTES = 65_536
"""What may come with a body that is no body: chunk sizes, extensions and trailers."""
CHUNK_BYTES = 16
"""Framing that each piece of a body may have beside that, with twice its own size: as Go's server counts
(CVE-2023-39326), so a client that sends byte by byte is served."""
CHUNKS = 1_024
LEAST_BYTES = 64
"""Chunks that a body may come in, and what further ones must hold on average. A chunk costs some microseconds
whatever its size: without a bound, one read of a quarter megabyte has 43,000, and holds up everybody."""
UNREAD_BYTES = 524_288
"""What may lie between the wire and who reads a body (64 KiB and one read): so far a body may be over its
bound here, for who reads it to answer 413 in the surface's own form."""

Phase = Literal["head", "body", "ended"]


class Refusal(Struct, frozen=True):
    """Why a request cannot be read: the status line, and what the log says."""

    status: bytes
    why: str


MALFORMED = Refusal(b"400 Bad Request", "it is no HTTP request")
HOST = Refusal(b"400 Bad Request", "it has no Host, or several")
HEAD = Refusal(b"431 Request Header Fields Too Large", "its head is too large")
FRAMING = Refusal(b"400 Bad Request", "its body has too much framing")
BODY = Refusal(b"413 Content Too Large", "its body is too large")
CODING = Refusal(b"501 Not Implemented", "its transfer coding is not chunked")
AFTER = Refusal(b"400 Bad Request", "too much came after it that is no request")


class Intake:
    """The counts of the request that is coming in."""

    __slots__ = ("chunks", "length", "most", "phase", "spare")

    def __init__(self, most: int) -> None:
        """`most` bytes are in a body at most."""
        self.most = most + UNREAD_BYTES
        self.begin()

    def begin(self) -> None:
        """A head begins, or is waited for."""
        self.phase: Phase = "head"
        self.spare = HEAD_BYTES
        self.length = self.chunks = 0

    def body_begins(self) -> None:
        """The head is whole."""
        self.phase = "body"
        self.spare = FRAMING_BYTES

    def body(self, size: int) -> None:
        """A piece of the body was found in what came."""
        self.length += size
        if self.length > self.most:
            self.spare = -1
        else:
            self.spare = min(self.spare + CHUNK_BYTES + 3 * size, FRAMING_BYTES)

    def chunk(self) -> bool:
        """A chunk begins; False when there are more than anybody has to look at."""
        self.chunks += 1
        return self.chunks <= CHUNKS + self.length // LEAST_BYTES

    def end(self) -> None:
        """The request is whole."""
        self.phase = "ended"

    def refusal(self) -> Refusal:
        """What is over its bound when `spare` is negative."""
        match self.phase:
            case "head":
                return HEAD
            case "body":
                return BODY if self.length > self.most else FRAMING
            case "ended":
                return AFTER


class Framing(Struct, frozen=True):
    """How the body of a request is framed: the header that says so (`b""` where there is no body), and its
    length where that is known."""

    header: bytes = b""
    length: int | None = 0


def head(url: bytes, headers: Sequence[tuple[bytes, bytes]], *, version: str) -> Framing | Refusal:
    """What a whole head says of the body, or why nobody may read on."""
    size, hosts, found = len(url), 0, Framing()
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                return CODING
            found = Framing(b"transfer-encoding: chunked", None)
        elif name == b"content-length" and int(value):
            found = Framing(b"content-length: " + value, int(value))
    if size > HEAD_BYTES:
        return HEAD
    return HOST if hosts > 1 or (not hosts and version == "1.1") else found
