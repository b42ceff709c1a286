"""A short run of every fuzz target, the same each time: its corpus, and inputs mutated with a fixed seed.

`make fuzz` is the long one. Inputs that it finds are added to the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.support.fuzzed import TARGETS, seeds

ROUNDS = 500
LONGEST = 20_000
TOKENS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n\n",
    b"\r",
    b"data: ",
    b"null",
    b"-1",
    b"1e999",
)


def changed(inputs: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Inputs with bytes changed, removed, repeated or inserted, or spliced from two inputs."""
    short = [each for each in inputs if len(each) <= LONGEST] or [b"{}"]
    for _ in range(ROUNDS):
        data = bytearray(chance.choice(short))
        for _ in range(chance.randint(1, 4)):
            at, to = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
            to = min(to, at + 200)
            how = chance.randrange(5)
            if how == 0 and data[at:]:
                data[at] = chance.randrange(256)
            elif how == 1:
                del data[at:to]
            elif how == 2:
                data[at:at] = data[at:to]
            elif how == 3:
                data[at:at] = chance.choice(TOKENS)
            else:
                data = data[:at] + bytearray(chance.choice(short)[at:])
        yield bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_is_documented(target: str) -> None:
    run, inputs = TARGETS[target], seeds(target)
    assert inputs, "there is something to begin with"
    for data in (b"", b"\x00", b"{}", b"[]", b"null", b'"', b"\xff" * 9, *inputs):
        run(data)
    for data in changed(inputs, random.Random(target)):
        try:
            run(data)
        except Exception as error:
            raise AssertionError(f"{target}: {data!r}") from error
