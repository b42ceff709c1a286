"""Request bodies that no client should send: any JSON, and requests that are almost right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from tailrace.errors import CallerError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from((10**30, -(10**400), 2**63, "message", "function", "auto"))
)
KEYS = st.text(max_size=4) | st.sampled_from(("type", "role", "content", "name", "id", "text"))
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def almost(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """A valid request in which some values, at any depth, are replaced by any others."""

    def spoil(value: Any) -> st.SearchStrategy[Any]:
        whole: st.SearchStrategy[Any]
        if isinstance(value, dict):
            whole = st.fixed_dictionaries({key: spoil(inner) for key, inner in value.items()})
        elif isinstance(value, list):
            whole = st.tuples(*map(spoil, value)).map(list)
        else:
            return st.one_of(st.just(value), st.just(value), st.just(value), JSON)
        return st.one_of(whole, whole, whole, whole, whole, whole, JSON)

    some = st.fixed_dictionaries({}, optional={key: spoil(v) for key, v in good.items()})
    whole = st.fixed_dictionaries({key: spoil(v) for key, v in good.items()})
    return (some | whole).map(_dump)


def bodies(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """Almost valid requests, any JSON, any bytes, and JSON that is too deep."""
    deep = st.sampled_from((90, 150, 900, 5000)).map(
        lambda depth: b'{"input":"x","messages":%b}' % (b"[" * depth + b"]" * depth)
    )
    return st.one_of(almost(good), almost(good), JSON.map(_dump), st.binary(max_size=20), deep)


def only_caller_errors(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """The result of `decode` for a body; None if it refuses the body with a correct error."""
    try:
        return decode(body)
    except CallerError:
        return None


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()
