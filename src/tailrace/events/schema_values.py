"""The keywords of a JSON schema that check one value without its content. Pure.

Each returns a fault as text, or `""`. Work that grows with the value is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias, cast

from tailrace.events.patterns import pattern
from tailrace.events.schema_shapes import Node, is_number
from tailrace.events.work import WorkBudget

SHOWN = 100
"""Characters of a value in a message."""


NAMES_SHOWN = 20
"""Maximum number of values of an `enum` that a message names."""


def excerpt(value: object) -> str:
    """A value for a message, shortened if it is large."""
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else f"{value[:SHOWN]!r}…"
    if isinstance(value, list):
        return "the array" if value else "[]"
    if isinstance(value, dict):
        return "the object" if value else "{}"
    return repr(value)[:SHOWN]


def _same(left: object, right: object, work: WorkBudget) -> bool:
    """Equality of JSON values: 1 is 1.0 and is not true."""
    work.spend()
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        one, other = cast("Node", left), cast("Node", right)
        return len(one) == len(other) and all(
            name in other and _same(one[name], other[name], work) for name in one
        )
    if isinstance(left, list) and isinstance(right, list):
        these, those = cast("list[Any]", left), cast("list[Any]", right)
        return len(these) == len(those) and all(
            _same(one, other, work) for one, other in zip(these, those, strict=True)
        )
    if isinstance(left, str) and isinstance(right, str):
        work.spend(min(len(left), len(right)) // 4096)
    return left == right


def _plain(value: object, work: WorkBudget) -> object:
    """A value in which equal values are written in the same way."""
    work.spend(2)
    if isinstance(value, dict):
        return {name: _plain(each, work) for name, each in cast("Node", value).items()}
    if isinstance(value, list):
        return [_plain(each, work) for each in cast("list[Any]", value)]
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) > 2**63 else int(value)
    if isinstance(value, str):
        work.spend(len(value) // 256)
        return f"'{value}"
    return str(value) if is_number(value) and abs(cast("int", value)) > 2**63 else value


def _type(kinds: Any, value: object, _: WorkBudget) -> str:
    types = [kinds] if isinstance(kinds, str) else kinds
    if any(_IS[kind](value) for kind in types):
        return ""
    return f"{excerpt(value)} is not of type {', '.join(map(repr, types))}"


def _is_integer(value: object) -> bool:
    return is_number(value) and (isinstance(value, int) or cast("float", value).is_integer())


_IS: Mapping[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": _is_integer,
}


def _enum(values: Any, value: object, work: WorkBudget) -> str:
    if any(_same(each, value, work) for each in values):
        return ""
    if len(values) > NAMES_SHOWN:
        return f"{excerpt(value)} is not one of the {len(values)} values that are allowed"
    return f"{excerpt(value)} is not one of [{', '.join(map(excerpt, values))}]"


def _const(constant: object, value: object, work: WorkBudget) -> str:
    return "" if _same(constant, value, work) else f"{excerpt(constant)} was expected"


def _multiple(of: Any, value: Any, work: WorkBudget) -> str:
    if isinstance(value, int) and isinstance(of, int):
        work.spend(max(value.bit_length(), of.bit_length()) // 256)
        fits = value % of == 0
    else:  # by what was written, as everybody expects of 0.01; beyond all digits by the exact values
        work.spend(10)
        fits = Fraction(str(value)) % Fraction(str(of)) == 0
    return "" if fits else f"{excerpt(value)} is not a multiple of {of}"


def _pattern(source: str, value: str, work: WorkBudget) -> str:
    if pattern(source).matches(value, work):
        return ""
    return f"{excerpt(value)} does not match {source[:SHOWN]!r}"


def _unique(unique: bool, value: list[Any], work: WorkBudget) -> str:  # noqa: FBT001 - a keyword's value
    if not unique:
        return ""
    texts = {json.dumps(_plain(each, work), sort_keys=True) for each in value}
    return "" if len(texts) == len(value) else f"{excerpt(value)} has non-unique elements"


def _check_required(names: list[str], value: Node, work: WorkBudget) -> str:
    work.spend(len(names) // 8)
    missing = next((name for name in names if name not in value), None)
    return "" if missing is None else f"{excerpt(missing)} is a required property"


def _dependent(needs: Mapping[str, Any], value: Node, work: WorkBudget) -> str:
    for name, names in needs.items():
        work.spend()
        if name in value and isinstance(names, list):  # of `dependencies` the others are schemas
            for missing in cast("list[str]", names):
                work.spend()
                if missing not in value:
                    return f"{excerpt(missing)} is a dependency of {excerpt(name)}"
    return ""


def _bound(holds: Callable[[Any, Any], bool], words: str) -> Callable[[Any, Any, WorkBudget], str]:
    def check(limit: Any, value: Any, _: WorkBudget) -> str:
        return "" if holds(value, limit) else f"{excerpt(value)} {words} {limit}"

    return check


def _size_check(
    holds: Callable[[int, Any], bool], words: str
) -> Callable[[Any, Any, WorkBudget], str]:
    def check(limit: Any, value: Any, _: WorkBudget) -> str:
        return "" if holds(len(value), limit) else f"{excerpt(value)} {words} {limit}"

    return check


def _not_above(size: float, limit: float) -> bool:
    return size <= limit


def _not_below(size: float, limit: float) -> bool:
    return size >= limit


_Assert: TypeAlias = "tuple[Callable[[object], bool], Callable[[Any, Any, WorkBudget], str]]"


def _all(_: object) -> bool:
    return True


ASSERTIONS: Mapping[str, _Assert] = {
    "type": (_all, _type),
    "enum": (_all, _enum),
    "const": (_all, _const),
    "multipleOf": (is_number, _multiple),
    "maximum": (is_number, _bound(_not_above, "is greater than the maximum of")),
    "minimum": (is_number, _bound(_not_below, "is less than the minimum of")),
    "exclusiveMaximum": (is_number, _bound(lambda a, b: a < b, "is not less than")),
    "exclusiveMinimum": (is_number, _bound(lambda a, b: a > b, "is not greater than")),
    "maxLength": (_IS["string"], _size_check(_not_above, "is longer than")),
    "minLength": (_IS["string"], _size_check(_not_below, "is shorter than")),
    "pattern": (_IS["string"], _pattern),
    "maxItems": (_IS["array"], _size_check(_not_above, "has more items than")),
    "minItems": (_IS["array"], _size_check(_not_below, "has fewer items than")),
    "uniqueItems": (_IS["array"], _unique),
    "maxProperties": (_IS["object"], _size_check(_not_above, "has more properties than")),
    "minProperties": (_IS["object"], _size_check(_not_below, "has fewer properties than")),
    "required": (_IS["object"], _check_required),
    "dependentRequired": (_IS["object"], _dependent),
    "dependencies": (_IS["object"], _dependent),
}
