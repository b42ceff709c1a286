"""Schemas: generated ones that another validator also supports, and those that are designed to be slow."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "ab", ""])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, -2.0, "a", "ab", ""])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
_TYPES = st.sampled_from(["null", "boolean", "object", "array", "number", "string", "integer"])
_COUNTS = st.integers(0, 2)
_PATTERNS = st.sampled_from(["a", "^a", "b$", "^(a|b)*$", r"\w", "[^a]"])

_ONE_VALUE = {
    "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=2, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "minimum": st.integers(-2, 2),
    "exclusiveMaximum": st.integers(-2, 2),
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "minLength": _COUNTS,
    "maxLength": _COUNTS,
    "pattern": _PATTERNS,
    "maxItems": _COUNTS,
    "minItems": _COUNTS,
    "uniqueItems": st.booleans(),
    "maxProperties": _COUNTS,
    "required": st.lists(NAMES, max_size=2, unique=True),
    "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=1), max_size=2),
}


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            **_ONE_VALUE,
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "prefixItems": some,
            "properties": named,
            "dependentSchemas": named,
            "patternProperties": st.dictionaries(_PATTERNS, inner, max_size=2),
            "minContains": _COUNTS,
            **dict.fromkeys(
                (
                    "not", "if", "then", "else", "items", "contains", "propertyNames",
                    "additionalProperties", "unevaluatedProperties", "unevaluatedItems",
                ),
                inner,
            ),
        },
    )  # fmt: skip


SCHEMAS = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional=dict(_ONE_VALUE)), _nested, max_leaves=5
)
"""Schemas of draft 2020-12."""


def doubling(levels: int) -> dict[str, Any]:
    """References, each to two further ones."""
    parts: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{levels}": {"type": "string"}}}


_MANY = list(range(50_000))
_DEEP: Any = 1
for _ in range(2_000):
    _DEEP = [_DEEP]

ATTACKS: dict[str, tuple[Any, Any]] = {
    "a pattern that backtracks": ({"pattern": "^(a+)+$"}, "a" * 40 + "b"),
    "the same on a long text": ({"pattern": "^(a+)+$"}, "a" * 5_000_000 + "b"),
    "as a property's name": (
        {"patternProperties": {"^(a|a)*$": False}, "additionalProperties": False},
        {"a" * 40 + "b": 1},
    ),
    "beside unevaluated ones": (
        {"patternProperties": {"^(a|a)*$": True}, "unevaluatedProperties": False},
        {"a" * 40 + "b": 1},
    ),
    "patterns that are large when compiled": (
        {"anyOf": [{"pattern": rf"\p{{L}}{{1,{i}}}$"} for i in range(1, 90)]},
        "x",
    ),
    "another dialect in a part": (
        {
            "items": {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "pattern": "^(a+)+$",
            }
        },
        ["a" * 40 + "b"],
    ),
    "references that double": (doubling(40), "x"),
    "a reference to itself, twice": ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
    "a dynamic one": (
        {"$dynamicAnchor": "n", "anyOf": [{"$dynamicRef": "#n"}, {"$dynamicRef": "#n"}]},
        {},
    ),
    "unique items": ({"uniqueItems": True}, _MANY),
    "unique objects": ({"uniqueItems": True}, [{"a": [i]} for i in _MANY]),
    "a long enum": ({"items": {"enum": _MANY}}, ["x"] * 20_000),
    "long texts in an enum": (
        {"items": {"enum": [f"{'a' * 1_000}{i}" for i in range(1_000)]}},
        ["a" * 1_001] * 20_000,
    ),
    "a long constant": ({"items": {"const": _MANY}}, [[*_MANY[:-1], 0]] * 50),
    "unevaluated properties": (
        {
            "allOf": [{"properties": {str(i): True for i in range(200)}}] * 50,
            "unevaluatedProperties": False,
        },
        {str(i): 1 for i in range(200)},
    ),
    "unevaluated items": (
        {"anyOf": [{"contains": {"type": "integer"}}] * 50, "unevaluatedItems": False},
        _MANY,
    ),
    "large numbers": ({"items": {"multipleOf": int("7" * 4_000)}}, [int("9" * 4_200)] * 5_000),
    "small fractions": ({"items": {"multipleOf": 1e-300}}, [1.5e300] * 5_000),
    "many required": ({"items": {"required": ["x"] * 5_000}}, [{"x": 1}] * 5_000),
    "many alternatives": (
        {"items": {"anyOf": [*[{"type": "string"}] * 500, True]}},
        _MANY,
    ),
    "a value that is too deep": ({"items": {"$ref": "#"}}, _DEEP),
    "equality that is too deep": ({"const": _DEEP}, _DEEP[0]),
}
"""By name: a schema, and a value whose validation is slow."""
