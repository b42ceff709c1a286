"""Ids: one suffix, many names, sorted by time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.events import ids

times = st.integers(0, (1 << 48) - 1)
entropy = st.binary(min_size=10, max_size=10)


@given(time=times, later=times, chance=entropy, other=entropy)
def test_suffixes_sort_by_time(time: int, later: int, chance: bytes, other: bytes) -> None:
    first, second = ids.ulid(time, chance), ids.ulid(later, other)
    assert len(first) == ids.SUFFIX_LENGTH
    if time < later:
        assert first < second


@given(time=times, chance=entropy, item=st.integers(0, 10**9))
def test_every_name_leads_back(time: int, chance: bytes, item: int) -> None:
    suffix = ids.ulid(time, chance)
    for name in (ids.run_id, ids.job_id, ids.response_id, ids.chat_id):
        assert ids.run_suffix(name(suffix)) == suffix
    assert ids.run_suffix(suffix) == suffix
    for prefix in ("msg", "rs", "fc", "mcp"):
        named = ids.item_id(prefix, suffix, item)
        assert ids.item_position(named) == (suffix, item)
        for asked in range(1, 12):
            assert ids.item_position(ids.asked_id(named, asked)) == (suffix, item)
            assert ids.asked_time(ids.asked_id(named, asked)) == asked


@pytest.mark.parametrize(
    "name", ["", "resp_", "resp_x", "resp_" + "i" * 26, "foo_" + "0" * 26, "0" * 27, "resp_\n"]
)
def test_an_invalid_id_is_not_parsed(name: str) -> None:
    assert ids.run_suffix(name) is None
    assert ids.item_position(name) is None
    assert ids.item_position(name + "_01") is None
