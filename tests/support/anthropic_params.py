"""Hypothesis strategies for requests that clients of Anthropic's API may send, drawn from the SDK's own
types.

So a block that a later SDK adds is drawn as soon as the SDK is installed.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from functools import cache
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

from anthropic.types.beta import (
    BetaContentBlockParam,
)
from hypothesis import strategies as st
from typing_extensions import get_type_hints, is_typeddict

Strategy = st.SearchStrategy[Any]

WORDS = st.text(alphabet='ab{}"\\é\n', min_size=1, max_size=6)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
OBJECT = st.dictionaries(WORDS, JSON, max_size=2)
_WRAPPED = (Required, NotRequired, typing.Required, typing.NotRequired, typing.Annotated)
_REQUIRED: tuple[Any, ...] = (Required, typing.Required)
DEEPEST = 4


def _params(union: Any) -> tuple[Any, ...]:
    return tuple(kind for kind in get_args(union) if is_typeddict(kind))


BLOCKS: dict[str, Any] = {}
"""The params of content blocks by their `type`."""
for _kind in _params(BetaContentBlockParam):
    _hint = get_type_hints(_kind)["type"]
    BLOCKS[get_args(_hint)[0]] = _kind


@cache
def of(kind: Any, depth: int = 0) -> Strategy:  # noqa: C901 - one arm a form of type
    """Values of a type of the SDK. Optional fields are present or absent; null is never sent."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is None or kind is type(None):
        return st.nothing()
    if origin in _WRAPPED:
        return of(inner[0], depth)
    if is_typeddict(kind):
        return _object(kind, depth + 1)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        known = [of(each, depth) for each in inner]
        return st.one_of(*(each for each in known if not each.is_empty))
    if origin in (list, collections.abc.Iterable, collections.abc.Sequence):
        return st.lists(of(inner[0], depth), max_size=0 if depth > DEEPEST else 2)
    if kind is str:
        return WORDS
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(0, 2**40)
    if kind is object:
        return JSON
    if origin is dict:
        return (
            OBJECT
            if inner[1] is object
            else st.dictionaries(WORDS, of(inner[1], depth), max_size=2)
        )
    if getattr(kind, "__name__", "") == "SequenceNotStr":
        return st.lists(WORDS, max_size=2)
    return st.nothing()


def _object(kind: Any, depth: int) -> Strategy:
    hints = get_type_hints(kind, include_extras=True)
    fields = {name: of(hint, depth) for name, hint in hints.items()}
    needed = {name for name, hint in hints.items() if _is_required(hint)}
    return st.fixed_dictionaries(
        {name: fields[name] for name in needed},
        optional={n: each for n, each in fields.items() if n not in needed and not each.is_empty},
    )


def _is_required(hint: Any) -> bool:
    return get_origin(hint) in _REQUIRED


def block(*names: str) -> Strategy:
    """A content block; if types are named, one of these."""
    return st.one_of(*(of(BLOCKS[name]) for name in names or BLOCKS))
