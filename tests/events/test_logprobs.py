"""The tokens that remain after a cut in their text."""

from __future__ import annotations

import pytest

from tailrace.events.logprobs import after

TOKENS = tuple({"token": token, "logprob": -1.0} for token in ("Once", " upon", " a"))


@pytest.mark.parametrize(
    ("known", "left"), [(0, 3), (1, 2), (4, 2), (5, 1), (9, 1), (10, 0), (11, 0), (99, 0)]
)
def test_the_tokens_that_are_whole_behind_it_are_left(known: int, left: int) -> None:
    assert after(TOKENS, known) == TOKENS[len(TOKENS) - left :]
    assert after((), known) == ()
