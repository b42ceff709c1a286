"""Whether a value fits a JSON schema (2020-12), with faults as text for its author. Pure.

Every step is counted, so that no schema and no value takes longer than is allowed: references that double,
`uniqueItems`, long `enum`s and patterns cost their work. `patterns.py` has the patterns, `schema_shapes.py`
the rules for schemas. `format` and contents are annotations, the specification's default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import msgspec

from tailrace.events.patterns import pattern
from tailrace.events.schema_shapes import Node, NoSchema, Schema
from tailrace.events.schema_values import ASSERTIONS, SHOWN, excerpt
from tailrace.events.work import WorkBudget

QUICK = 10_000
"""Units of work for which the event loop has time: 2 to 20 ms."""
DEEPEST = 256
"""Maximum depth of schemas inside each other while a value is checked."""

At: TypeAlias = "tuple[At, str | int] | None"


def misfits(texts: Sequence[str], schema: object, work: WorkBudget) -> list[str]:
    """For each text, the reason why it is not JSON of this schema, or `""`. Raises as `mismatch`."""
    failures: list[str] = []
    for text in texts:
        work.spend(len(text) // 20)
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            failures.append(str(error))
        except RecursionError:
            failures.append("it is nested too deep")
        else:
            failures.append(mismatch(value, schema, work))
    return failures


class Failure(NamedTuple):
    """A fault, and its position."""

    message: str
    at: At


class Evaluations:
    """The evaluated parts of a value: names of an object, or the first items of an array and some more."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.first = 0
        self.items: set[int] = set()

    def take(self, other: Evaluations, work: WorkBudget) -> None:
        """Add the evaluations of another part."""
        work.spend(1 + (len(other.names) + len(other.items)) // 8)
        self.names |= other.names
        self.first = max(self.first, other.first)
        self.items |= other.items


def mismatch(value: object, schema: object, work: WorkBudget | None = None) -> str:
    """The reason why a JSON value does not fit, or `""`; every value fits no schema, or an empty one.

    Raises `NoSchema` for an invalid schema, `Overspent` when it takes more than `work`, or than the event
    loop has time for.
    """
    if schema is None or schema == {}:
        return ""
    work = work or WorkBudget(QUICK)
    read = Schema(schema, work)
    try:
        failure = _Check(read, work).apply(read.root, value, None)
    except RecursionError:
        raise NoSchema("", "and the value are nested too deep to be checked") from None
    return "" if failure is None else f"{failure.message} at {_path(failure.at)}"[:500]


def _path(at: At) -> str:
    steps: list[str] = []
    while at is not None:
        at, step = at
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step[:SHOWN]}")
    return "$" + "".join(reversed(steps))


class _Check:
    """One value, one schema."""

    def __init__(self, schema: Schema, work: WorkBudget) -> None:
        self._schema = schema
        self._work = work
        self._depth = 0
        self._scope: list[str] = []

    def apply(
        self, schema: Any, value: object, at: At, evaluations: Evaluations | None = None
    ) -> Failure | None:
        """Why a value does not fit. The properties that a fitting schema has evaluated are added to
        `evaluations`, if given: `unevaluatedProperties` needs them, and parts of one schema do not see those
        of each other."""
        self._work.spend(3)
        if isinstance(schema, bool):
            return None if schema else Failure(f"{excerpt(value)} is not allowed", at)
        if self._depth == DEEPEST:
            raise NoSchema("", f"refers to itself, or is nested, more than {DEEPEST} deep")
        node, base = cast("Node", schema), self._schema.base(schema)
        self._depth += 1
        self._scope.append(base)
        inner = Evaluations()
        try:
            failure = (
                self._assertions(node, value, at)
                or self._references(node, value, at, inner)
                or self._logic(node, value, at, inner)
                or self._parts(node, value, at, inner)
            )
            if failure is None and evaluations is not None and self._schema.tracks:
                evaluations.take(inner, self._work)
            return failure
        finally:
            self._scope.pop()
            self._depth -= 1

    def _assertions(self, node: Node, value: object, at: At) -> Failure | None:
        for keyword, argument in node.items():
            check = ASSERTIONS.get(keyword)
            self._work.spend()
            if (
                check is not None
                and check[0](value)
                and (wrong := check[1](argument, value, self._work))
            ):
                return Failure(wrong, at)
        return None

    def _references(
        self, node: Node, value: object, at: At, evaluations: Evaluations
    ) -> Failure | None:
        for keyword in ("$ref", "$dynamicRef"):
            if keyword not in node:
                continue
            target = self._schema.target(node, keyword)
            there = target.node
            if target.anchor:
                self._work.spend(len(self._scope))
                outermost = (self._schema.dynamic(base, target.anchor) for base in self._scope)
                there = next((scope for scope in outermost if scope is not None), there)
            if failure := self.apply(there, value, at, evaluations):
                return failure
        return None

    def _logic(self, node: Node, value: object, at: At, evaluations: Evaluations) -> Failure | None:
        for schema in node.get("allOf", ()):
            if failure := self.apply(schema, value, at, evaluations):
                return failure
        if "anyOf" in node and not self._fitting(node["anyOf"], value, at, evaluations, most=1):
            return Failure(f"{excerpt(value)} is not valid under any of the given schemas", at)
        if "oneOf" in node:
            fitting = self._fitting(node["oneOf"], value, at, evaluations, most=2)
            if fitting != 1:
                words = "valid under more than one" if fitting else "not valid under any"
                return Failure(f"{excerpt(value)} is {words} of the given schemas", at)
        if "not" in node and self.apply(node["not"], value, at) is None:
            return Failure(f"{excerpt(value)} is what must not be", at)
        if "if" in node:
            branch = "then" if self.apply(node["if"], value, at, evaluations) is None else "else"
            return self.apply(node.get(branch, True), value, at, evaluations)
        return None

    def _fitting(
        self,
        schemas: Iterable[object],
        value: object,
        at: At,
        evaluations: Evaluations,
        *,
        most: int,
    ) -> int:
        """The number of these schemas that fit. All are tried if the evaluated properties are needed."""
        fitting = 0
        for schema in schemas:
            fitting += self.apply(schema, value, at, evaluations) is None
            if fitting == most and not self._schema.tracks:
                break
        return fitting

    def _parts(self, node: Node, value: object, at: At, evaluations: Evaluations) -> Failure | None:
        if isinstance(value, dict):
            return self._object(node, cast("Node", value), at, evaluations)
        if isinstance(value, list):
            return self._array(node, cast("list[Any]", value), at, evaluations)
        return None

    # objects

    def _object(self, node: Node, value: Node, at: At, evaluations: Evaluations) -> Failure | None:
        names: set[str] = set()
        failure = (
            self._dependents(node, value, at, evaluations)
            or self._properties(node, value, at, names)
            or self._names(node, value, at)
            or self._others(node, "additionalProperties", value, at, names)
        )
        if self._schema.tracks:
            self._work.spend(len(names) // 8)
            evaluations.names |= names
        return failure or self._others(node, "unevaluatedProperties", value, at, evaluations.names)

    def _dependents(
        self, node: Node, value: Node, at: At, evaluations: Evaluations
    ) -> Failure | None:
        for keyword in ("dependentSchemas", "dependencies"):
            for name, schema in node.get(keyword, {}).items():
                self._work.spend()
                if name not in value or isinstance(schema, list):
                    continue
                if failure := self.apply(schema, value, at, evaluations):
                    return failure
        return None

    def _properties(self, node: Node, value: Node, at: At, names: set[str]) -> Failure | None:
        for name, schema in node.get("properties", {}).items():
            self._work.spend()
            if name in value:
                names.add(name)
                if failure := self.apply(schema, value[name], (at, name)):
                    return failure
        for source, schema in node.get("patternProperties", {}).items():
            match = pattern(source)
            for name, each in value.items():
                if match.matches(name, self._work):
                    names.add(name)
                    if failure := self.apply(schema, each, (at, name)):
                        return failure
        return None

    def _names(self, node: Node, value: Node, at: At) -> Failure | None:
        if "propertyNames" in node:
            for name in value:
                if failure := self.apply(node["propertyNames"], name, at):
                    return failure
        return None

    def _others(
        self, node: Node, keyword: str, value: Node, at: At, names: set[str]
    ) -> Failure | None:
        """The fault of a property that is not among `names`; those properties count as evaluated."""
        if keyword not in node:
            return None
        self._work.spend(len(value) // 4)
        others = [name for name in value if name not in names]
        if others and node[keyword] is False:
            return Failure(f"the property {excerpt(others[0])} is not allowed", at)
        for name in others:
            names.add(name)
            if failure := self.apply(node[keyword], value[name], (at, name)):
                return failure
        return None

    # arrays

    def _array(
        self, node: Node, value: list[Any], at: At, evaluations: Evaluations
    ) -> Failure | None:
        items = node.get("items")
        first, rest = node.get("prefixItems", ()), items
        if isinstance(items, list):  # draft 7
            first, rest = cast("list[Any]", items), node.get("additionalItems")
        for index, (schema, each) in enumerate(zip(first, value, strict=False)):
            if failure := self.apply(schema, each, (at, index)):
                return failure
        evaluations.first = max(evaluations.first, min(len(first), len(value)))
        if rest is not None:
            for index in range(len(first), len(value)):
                if failure := self.apply(rest, value[index], (at, index)):
                    return failure
            evaluations.first = len(value)
        return self._contains(node, value, at, evaluations) or self._left(
            node, value, at, evaluations
        )

    def _contains(
        self, node: Node, value: list[Any], at: At, evaluations: Evaluations
    ) -> Failure | None:
        if "contains" not in node:
            return None
        fitting = {
            index
            for index, each in enumerate(value)
            if self.apply(node["contains"], each, at) is None
        }
        least, most = node.get("minContains", 1), node.get("maxContains", len(value))
        if len(fitting) < least:
            return Failure(f"{excerpt(value)} has too few items that it must contain", at)
        if len(fitting) > most:
            return Failure(f"{excerpt(value)} has too many items that it may contain", at)
        evaluations.items |= fitting
        return None

    def _left(
        self, node: Node, value: list[Any], at: At, evaluations: Evaluations
    ) -> Failure | None:
        if "unevaluatedItems" not in node:
            return None
        for index in range(evaluations.first, len(value)):
            self._work.spend()
            if index in evaluations.items:
                continue
            if failure := self.apply(node["unevaluatedItems"], value[index], (at, index)):
                return failure
        evaluations.first = len(value)
        return None
