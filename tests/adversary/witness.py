"""What clients saw and were promised: all that the auditor has to go by. It knows nothing of the server."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Asked(Struct, frozen=True):
    """A request, as often as one likes."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class Piece(Struct):
    """What one connection brought of a reply: whole frames from the `first` on, and the bytes behind them."""

    first: int
    frames: list[bytes] = field(default_factory=list)
    rest: bytes = b""
    ended: bool = False
    """Whether the reply ended as one does that is whole."""


class Tape(Struct):
    """One reply, as its client put it together out of pieces. `whole` asks for all of it again."""

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
    """Requests that were answered by one document, which must stay as it is."""
    answered: dict[str, int] = field(default_factory=dict)
    """How many answers the server has taken, of each run."""
    cancelled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    wild: bool = False
    """Whether it spoke with the model that misbehaves: its runs end, but who knows how."""
    over: bool = False
