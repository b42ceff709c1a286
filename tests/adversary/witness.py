"""The replies and acknowledgements that clients received: the auditor has no other data. It knows nothing
about the server."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Asked(Struct, frozen=True):
    """A request that a client may send any number of times."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Piece(Struct):
    """The part of a reply that one connection delivered: complete frames from the `first` on, and the bytes
    after them."""

    first: int
    frames: list[bytes] = field(default_factory=list)
    rest: bytes = b""
    ended: bool = False
    """Whether the connection ended in the way of a complete reply."""


class Tape(Struct):
    """One reply, as its client assembled it from pieces. `whole` requests all of it again."""

    surface: str
    whole: Asked
    run: str = ""
    pieces: list[Piece] = field(default_factory=list)

    @property
    def frames(self) -> list[bytes]:
        """What the client holds: of frames that arrived twice the later, which must be the same."""
        held: list[bytes] = []
        for piece in self.pieces:
            held[piece.first : piece.first + len(piece.frames)] = piece.frames
        return held


class Talk(Struct):
    """A conversation whose turns are each repeated by the model: the texts sent, where the complete reply
    arrived."""

    conversation: str
    said: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)


class Story(Struct):
    """All that one customer did at a time: runs and markers of others must not appear in it."""

    name: str
    mark: str
    tenant: str
    tapes: list[Tape] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    documents: list[tuple[Asked, bytes]] = field(default_factory=list)
    """Requests with one document as their reply, which must not change."""
    answered: dict[str, int] = field(default_factory=dict)
    """The number of answers that the server has accepted, by run."""
    cancelled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    wild: bool = False
    """Whether it used the misbehaving model: its runs end, but in an unknown way."""
    over: bool = False
