"""For any tenants and users and any interleaving of their requests, neither sees a byte of another.

No user can detect the others either: each gets the replies that an otherwise empty server gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.tenant_requests import REQUESTS, messages
from tests.support.tenants import LIMITS, PEOPLE, Step, World, comparable, leaked

ASKED = st.tuples(
    st.integers(0, len(REQUESTS) - 1), st.lists(st.integers(0, 23), min_size=9, max_size=9)
)
PROGRAMS = st.lists(
    st.dictionaries(st.integers(0, len(PEOPLE) - 1), ASKED, min_size=1), min_size=4, max_size=14
)
USERS = ([0], [1], [2])
TENANTS = ([0, 1], [2])
"""Groups that share nothing with each other; users of one tenant share its limits."""


def _said(*choices: int) -> tuple[int, list[int]]:
    return REQUESTS.index(messages), [*choices, *[0] * 9]


REPEATED: list[Step] = [{0: _said(1, 0, 1, 0, 0, 0)}, {2: _said(1, 0, 1, 0, 0, 2)}]
"""Two users send the same request, byte for byte; the second one is sent as a retry."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@example(program=REPEATED)
@given(program=PROGRAMS)
def test_no_tenant_sees_or_notices_another(folder: Path, program: Sequence[Step]) -> None:
    asyncio.run(_apart(folder, program, USERS, ""))


@settings(max_examples=20)
@given(program=PROGRAMS)
def test_no_tenants_limits_are_spent_by_another(folder: Path, program: Sequence[Step]) -> None:
    asyncio.run(_apart(folder, program, TENANTS, LIMITS))


async def _apart(
    folder: Path, program: Sequence[Step], groups: Sequence[list[int]], limits: str
) -> None:
    everybody = World(folder, range(len(PEOPLE)), limits)
    await everybody.play(program)
    for group in groups:
        alone = World(folder, group, limits)
        await alone.play(program, everybody.replies)
        for who in group:
            sent = everybody.sent(who)
            foreign = everybody.foreign_to(who)
            for reply in everybody.replies[who]:
                assert not leaked(reply, sent, foreign), reply
            together = comparable(everybody.replies[who], sent)
            assert together == comparable(alone.replies[who], sent)
