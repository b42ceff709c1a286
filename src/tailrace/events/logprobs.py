"""What is told of a text's tokens, where the text is cut: the tokens that are whole behind the cut. Pure.

A token that the cut goes through is left out: half of its characters were shown with tokens of their own, and
no token was chosen for the other half.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.events.items import Json


def after(logprobs: Sequence[Json], offset: int) -> tuple[Json, ...]:
    """The tokens of a text from character `known` on."""
    length = 0
    for place, odds in enumerate(logprobs):
        if length >= offset:
            return tuple(logprobs[place:])
        length += len(str(odds.get("token", "")))
    return ()
