"""LangGraph's long-term memory (`BaseStore`) over the memory of the run's user.

It replaces a graph's `InMemoryStore`, whose items a restart loses; a graph with another store keeps that.
There is no index of meanings: a search with a query returns the items that its namespace and filter select,
as `InMemoryStore` without an index does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from tailrace.runtimes.user_memory import MemoryItem, UserMemory

OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


class UserStore(BaseStore):
    """The store of one run."""

    def __init__(self, memory: UserMemory) -> None:
        self._memory = memory
        self._loop = asyncio.get_running_loop()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return [await self._do(op) for op in ops]

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """For nodes and tools in threads. Raises `RuntimeError` on the event loop, which would wait for
        itself."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            raise RuntimeError("asynchronous code uses the store's methods aget, aput, asearch, …")
        return asyncio.run_coroutine_threadsafe(self.abatch(ops), self._loop).result()

    async def _do(self, op: Op) -> Result:
        match op:
            case GetOp():
                item = await self._memory.get(op.namespace, op.key)
                return None if item is None else _item(item)
            case PutOp():
                if op.value is None:
                    await self._memory.delete(op.namespace, op.key)
                else:
                    await self._memory.put(op.namespace, op.key, dict(op.value))
                return None
            case SearchOp():
                return await self._search(op)
            case ListNamespacesOp():
                return await self._namespaces(op)
            case _:
                raise NotImplementedError(f"this store has no {type(op).__name__}")

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        results: list[SearchItem] = []
        async for item in self._memory.items(op.namespace_prefix):
            if all(_fits(item.value.get(name), want) for name, want in (op.filter or {}).items()):
                results.append(SearchItem(**_fields(item)))
                if len(results) == op.offset + op.limit:
                    break
        return results[op.offset :]

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        names: dict[tuple[str, ...], None] = {}
        async for item in self._memory.items():
            if all(_matches(item.namespace, each) for each in op.match_conditions or ()):
                names[item.namespace[: op.max_depth]] = None
        return sorted(names)[op.offset : op.offset + op.limit]


def _item(item: MemoryItem) -> Item:
    return Item(**_fields(item))


def _fields(item: MemoryItem) -> dict[str, Any]:
    created_at, updated_at = (
        datetime.fromtimestamp(each / 1000, UTC) for each in (item.created_at, item.updated_at)
    )
    return {
        "value": item.value,
        "key": item.key,
        "namespace": item.namespace,
        "created_at": created_at,
        "updated_at": updated_at,
    }


def _fits(value: Any, want: Any) -> bool:
    """Whether a field of a value is as a filter wants it: equal, or as operators say."""
    conditions = cast("dict[str, Any]", want) if isinstance(want, dict) else {}
    if not any(name.startswith("$") for name in conditions):
        return bool(value == want)
    return all(_compare(value, name, other) for name, other in conditions.items())


def _compare(value: Any, operator: str, other: Any) -> bool:
    if operator not in OPERATORS:
        raise ValueError(f"the operator {operator} does not exist; known: {', '.join(OPERATORS)}")
    if operator in ("$eq", "$ne"):
        return bool(value == other) == (operator == "$eq")
    try:
        left, right = float(value), float(other)
    except (TypeError, ValueError):
        return False
    order = {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}
    return order[operator]


def _matches(namespace: Sequence[str], condition: MatchCondition) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return all(want in ("*", label) for want, label in zip(path, part, strict=True))
