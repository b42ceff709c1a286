"""The store of a graph does what the framework's own does, for each user alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from tailrace.events.request import RunCaller
from tailrace.log.stores.memory.store import MemoryStore as MemoryEngine
from tailrace.runtimes.adapters.langgraph.memory import UserStore
from tailrace.runtimes.user_memory import MAX_NAME, MAX_VALUE, UserMemory

LABELS = st.sampled_from(["a", "b", "ä/ö", "x:y", "a b", "%2F"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
VALUES = st.fixed_dictionaries(
    {"n": st.integers(0, 3)}, optional={"t": st.text(max_size=3), "l": st.lists(st.booleans())}
)
CONDITIONS = st.builds(
    MatchCondition,
    match_type=st.sampled_from(["prefix", "suffix"]),
    path=st.lists(st.one_of(LABELS, st.just("*")), min_size=1, max_size=2).map(tuple),
)
FILTERS: st.SearchStrategy[Any] = st.sampled_from(
    [None, {"n": 1}, {"n": {"$gte": 2}}, {"n": {"$ne": 0}, "t": "x"}, {"t": {"$eq": "x"}}]
)
OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(PutOp, NAMESPACES, LABELS, st.one_of(VALUES, st.none())),
    st.builds(GetOp, NAMESPACES, LABELS),
    st.builds(
        SearchOp,
        st.lists(LABELS, max_size=2).map(tuple),
        filter=FILTERS,
        limit=st.just(100),
        offset=st.just(0),
    ),
    st.builds(
        ListNamespacesOp,
        match_conditions=st.lists(CONDITIONS, max_size=2).map(tuple),
        max_depth=st.one_of(st.none(), st.integers(1, 3)),
        limit=st.integers(1, 4),
        offset=st.integers(0, 2),
    ),
)


def plain(result: Any) -> Any:
    """A result without its times; the order of a search is not defined."""
    if isinstance(result, list) and result and isinstance(result[0], Item):
        return sorted((each.namespace, each.key, each.value) for each in result)
    if isinstance(result, Item):
        return result.namespace, result.key, result.value
    return result


def memory(engine: MemoryEngine, user: str = "ann", tenant: str = "acme") -> UserMemory:
    return UserMemory(engine.records, RunCaller(tenant=tenant, user=user))


@given(ops=st.lists(OPS, max_size=30))
async def test_it_does_what_the_frameworks_store_does(ops: Sequence[Op]) -> None:
    engine = MemoryEngine()
    await engine.open()
    ours: BaseStore = UserStore(memory(engine))
    theirs = InMemoryStore()
    for op in ops:
        for namespace in [name for name, items in theirs._data.items() if not items]:
            del theirs._data[namespace]  # it lists namespaces whose items were all deleted
        (mine,) = await ours.abatch([op])
        (other,) = await theirs.abatch([op])
        assert plain(mine) == plain(other), op


async def test_a_page_of_a_search() -> None:
    engine = MemoryEngine()
    await engine.open()
    store = UserStore(memory(engine))
    for n in range(250):
        await store.aput(("notes",), f"{n:03}", {"n": n})
    page = await store.asearch(("notes",), limit=3, offset=199)
    assert [each.key for each in page] == ["199", "200", "201"]


async def test_users_and_tenants_do_not_see_each_other() -> None:
    engine = MemoryEngine()
    await engine.open()
    owners = [("acme", "ann"), ("acme", "an"), ("acme", ""), ("acme/ann", ""), ("", "acme")]
    for tenant, user in owners:
        await memory(engine, user, tenant).put(("n",), "k", {"of": f"{tenant} {user}"})
    for tenant, user in owners:
        items = [item async for item in memory(engine, user, tenant).items()]
        assert [item.value for item in items] == [{"of": f"{tenant} {user}"}]


@pytest.mark.parametrize(
    ("namespace", "key", "value", "fault"),
    [
        (("n",), "k", {"a": "x" * MAX_VALUE}, "the value has 262152 bytes"),
        (("n",), "k" * MAX_NAME, {}, "at most 512 characters"),
        ((), "k", {}, "at least one part"),
        (("n", ""), "k", {}, "no part or key is empty"),
        (("n",), "", {}, "no part or key is empty"),
    ],
)
async def test_values_and_names_that_cannot_be_stored(
    namespace: tuple[str, ...], key: str, value: dict[str, Any], fault: str
) -> None:
    engine = MemoryEngine()
    await engine.open()
    with pytest.raises(ValueError, match=fault):
        await memory(engine).put(namespace, key, value)
    with pytest.raises(TypeError):
        await memory(engine).put(("n",), "k", {"a": object()})
