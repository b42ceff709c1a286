"""The log probabilities of a text that is cut: those of the tokens after the cut. Pure.

A token that the cut divides is left out: its first characters were sent with tokens of their own, and no
token was chosen for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.events.items import Json


def after(logprobs: Sequence[Json], offset: int) -> tuple[Json, ...]:
    """The tokens of a text from character `offset` on."""
    length = 0
    for place, odds in enumerate(logprobs):
        if length >= offset:
            return tuple(logprobs[place:])
        length += len(str(odds.get("token", "")))
    return ()
