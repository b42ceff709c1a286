"""Values of the OpenAI SDK's own parameter types: the requests that its users can send, drawn from the
types."""

from __future__ import annotations

import collections.abc
import functools
import types
import typing
from typing import Any, Literal, Union

import openai.types.responses as sdk
import typing_extensions
from hypothesis import strategies as st
from openai.types.responses import response_create_params

WORDS = st.sampled_from(("", "a", "gA", "Grüße"))
NAMES = st.sampled_from(("f", "patch"))
OBJECTS = st.sampled_from(({}, {"type": "object", "properties": {}}, {"a": [1, None]}))
REQUIRED: Any = typing_extensions.Required
MOST = 3
"""How deep optional fields are filled in."""


def instances(name: str) -> st.SearchStrategy[Any]:
    """JSON values of a type of `openai.types.responses`."""
    found = getattr(sdk, name, None) or getattr(response_create_params, name)
    return _of(found, 0)


@functools.cache
def _of(kind: Any, depth: int) -> st.SearchStrategy[Any]:
    origin = typing_extensions.get_origin(kind)
    inner = typing_extensions.get_args(kind)
    if origin in (typing_extensions.Annotated, REQUIRED):
        return _of(inner[0], depth)
    if origin is typing.Literal or origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, types.UnionType):
        return st.one_of([_of(each, depth) for each in inner])
    if typing_extensions.is_typeddict(kind):
        return _dict(kind, depth)
    if origin in (list, collections.abc.Iterable, collections.abc.Sequence):
        return st.lists(_of(inner[0], depth + 1), max_size=2)
    if origin is dict or kind in (object, Any):
        return OBJECTS
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: WORDS,
        bool: st.booleans(),
        int: st.integers(0, 9),
        float: st.sampled_from((0.5, 1.5)),
        type(None): st.none(),
    }
    return plain[kind]


def _dict(kind: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    must: dict[str, st.SearchStrategy[Any]] = {}
    may: dict[str, st.SearchStrategy[Any]] = {}
    for name, hint in hints.items():
        needed = kind.__total__ or typing_extensions.get_origin(hint) == REQUIRED
        named = name == "name"  # an empty name is refused
        (must if needed else may)[name] = NAMES if named else _of(hint, depth + 1)
    return st.fixed_dictionaries(must, optional=may if depth < MOST else {})
