"""The auditor finds each kind of fault, which the test forges in the clients' tapes or in the server's
output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.adversary import audit
from tests.adversary.wire import take
from tests.adversary.witness import Asked, Piece, Story, Tape

FINAL = [b"data: %d\n\n" % number for number in range(9)]
MINE, OTHER = "0" * 26, "1" * 26


def tape() -> Tape:
    """Three connections: the second continues in the middle, the third reads everything again."""
    pieces = [
        Piece(0, FINAL[:4], b"data: "),
        Piece(4, FINAL[4:6], b": pi"),
        Piece(0, FINAL[:], ended=True),
    ]
    return Tape("native", Asked("GET", "/"), MINE, pieces)


def test_what_is_right_is_right() -> None:
    assert audit.compared(tape(), FINAL) == []
    assert tape().frames == FINAL


def _change(forged: Tape) -> None:
    forged.pieces[1].frames = [b"data: x\n\n", FINAL[5]]


def _double(forged: Tape) -> None:
    forged.pieces[0].frames = [*FINAL[:3], FINAL[2]]


def _lose(forged: Tape) -> None:
    forged.pieces[1].frames = [FINAL[5]]


def _too_much(forged: Tape) -> None:
    forged.pieces[1] = Piece(8, [FINAL[8], b"data: 9\n\n"])


def _too_short(forged: Tape) -> None:
    forged.pieces[2].frames = FINAL[:8]


def _torn(forged: Tape) -> None:
    forged.pieces[0].rest = b"data: 7"


def _half_at_the_end(forged: Tape) -> None:
    forged.pieces[2].rest = b"data"


def _never_whole(forged: Tape) -> None:
    forged.pieces.pop()


def _other_start(forged: Tape) -> None:
    forged.pieces[2].frames = [b"data: x\n\n", *FINAL[1:]]


@pytest.mark.parametrize(
    "forge",
    [
        _change,
        _double,
        _lose,
        _too_much,
        _too_short,
        _torn,
        _half_at_the_end,
        _never_whole,
        _other_start,
    ],
)
def test_a_forged_tape_is_found(forge: Callable[[Tape], None]) -> None:
    forged = tape()
    forge(forged)
    assert audit.compared(forged, FINAL)


@pytest.mark.parametrize(
    "seen", [b"resp_" + OTHER.encode(), b"markaaaaaaaaaaaa", b"call_" + OTHER.encode()]
)
def test_what_is_anothers_is_found(seen: bytes) -> None:
    story = Story("chat", "mark000000000000", "north", runs={MINE})
    own = b"msg_%b_3 mark000000000000 " % MINE.encode()
    assert audit.strangers(story, own) == []
    assert audit.strangers(story, own + seen)


def job(**told: Any) -> Any:
    content = {"type": "tool_call", "name": "order"}
    tool = {"type": "tool.completed", "item": 3, **told}
    return {
        "run_id": f"run_{MINE}",
        "output": [{"item": 3, "content": content, "tool_output": tool}],
    }


@pytest.mark.parametrize(
    ("times", "failed", "wrong"),
    [(0, False, 1), (1, False, 0), (2, False, 1), (0, True, 0), (1, True, 0)],
)
def test_orders_and_their_effects(times: int, failed: bool, wrong: int) -> None:
    effects = Counter({f"{MINE}:3": times})
    assert len(audit.orders(job(is_error=failed), effects)) == wrong
    assert bool(audit.repeated(effects)) == (times > 1)


def test_a_heartbeat_is_no_frame() -> None:
    piece = Piece(0)
    rest = take(piece, b": ping\ndata: 1\n: ping\n\n: ping\nda", b"\n\n")
    assert (piece.frames, rest) == ([b"data: 1\n\n"], b"da")
