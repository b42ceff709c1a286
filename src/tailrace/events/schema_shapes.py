"""The shape of a JSON schema (2020-12): every keyword's type, and the target of each reference.

A schema is checked once, before any value: an invalid schema, or one that cannot be evaluated in bounded
time, is refused by its place. The keywords of draft 7 that are still used are supported as well:
`definitions`, lists of `items` with `additionalItems`, and `dependencies`. Nothing is fetched: a reference
leads to a place in the schema itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import unquote, urldefrag, urljoin

from tailrace.events.patterns import NoPattern, pattern
from tailrace.events.work import Overspent, WorkBudget

Node: TypeAlias = "dict[str, Any]"

LARGEST = 40_000
"""Units of work for reading a schema: at most some 40 ms, some 5,000 properties."""
TYPES = frozenset(("null", "boolean", "object", "array", "number", "string", "integer"))

_ONE = frozenset((
    "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "additionalItems", "items",
    "contains", "propertyNames", "not", "if", "then", "else",
))  # fmt: skip
_SOME = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED_SCHEMAS = frozenset((
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies",
))  # fmt: skip


class NoSchema(Exception):
    """What cannot be used as a schema: the `place` in it, as a JSON pointer, and why."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__(f"{place or 'the schema'} {why}")
        self.place = place
        self.why = why


class ReferenceTarget(NamedTuple):
    """Where a reference leads. `anchor`: a `$dynamicRef` means the outermost such anchor instead."""

    node: Any
    anchor: str = ""


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; to Python `True` is one as well."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: object) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and is_number(value) and cast("float", value) >= 0


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, str) for each in cast("list[Any]", value)
    )


def _types(value: object) -> bool:
    kinds = cast("list[Any]", value if isinstance(value, list) else [value])
    return all(isinstance(kind, str) and kind in TYPES for kind in kinds)


def _named_strings(value: object) -> bool:
    return isinstance(value, dict) and all(map(_strings, cast("Node", value).values()))


def _string(value: object) -> bool:
    return isinstance(value, str)


def _list(value: object) -> bool:
    return isinstance(value, list)


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


def _positive(value: object) -> bool:
    return is_number(value) and cast("float", value) > 0


_Shape: TypeAlias = "tuple[Callable[[object], bool], str]"
_COUNT: _Shape = (_count, "must be a whole number from 0 on")
_NUMBER: _Shape = (is_number, "must be a number")
_STRING: _Shape = (_string, "must be a string")
_SHAPES: Mapping[str, _Shape] = {
    "type": (_types, f"must be one of {', '.join(sorted(TYPES))}, or a list of these"),
    "enum": (_list, "must be a list"),
    "multipleOf": (_positive, "must be a number above 0"),
    "maximum": _NUMBER,
    "minimum": _NUMBER,
    "exclusiveMaximum": _NUMBER,
    "exclusiveMinimum": _NUMBER,
    "maxLength": _COUNT,
    "minLength": _COUNT,
    "maxItems": _COUNT,
    "minItems": _COUNT,
    "maxContains": _COUNT,
    "minContains": _COUNT,
    "maxProperties": _COUNT,
    "minProperties": _COUNT,
    "uniqueItems": (_boolean, "must be true or false"),
    "required": (_strings, "must be a list of strings"),
    "dependentRequired": (_named_strings, "must be an object of lists of strings"),
    "pattern": _STRING,
    "$ref": _STRING,
    "$dynamicRef": _STRING,
    "$id": _STRING,
    "$anchor": _STRING,
    "$dynamicAnchor": _STRING,
}


class Schema:
    """A schema that was read. Nodes are told apart by identity: it must not change while this is used."""

    def __init__(self, root: object, work: WorkBudget) -> None:
        """Raises `NoSchema`, `Overspent`."""
        self.root = root
        self.tracks = False
        """Whether it has `unevaluatedProperties` or `unevaluatedItems`, which depend on the evaluation of its
        other parts."""
        self._work = work
        self._bases: dict[int, str] = {}
        self._nodes: dict[str, object] = {}
        self._dynamic: set[str] = set()
        self._targets: dict[tuple[int, str], ReferenceTarget] = {}
        self._pending: list[tuple[Node, str, str]] = []
        self._walk(root, "", "")
        self._nodes.setdefault("", root)
        while self._pending:
            node, keyword, place = self._pending.pop()
            self._targets[id(node), keyword] = self._target(node, keyword, place)

    def base(self, node: Node) -> str:
        """The URI of the resource that a node is in."""
        return self._bases[id(node)]

    def target(self, node: Node, keyword: str) -> ReferenceTarget:
        """Where a node's reference leads."""
        return self._targets[id(node), keyword]

    def dynamic(self, base: str, anchor: str) -> object:
        """The node of a resource with a dynamic anchor of this name, or None."""
        uri = f"{base}#{anchor}"
        return self._nodes[uri] if uri in self._dynamic else None

    def _walk(self, root: object, place: str, base: str) -> None:
        stack = [(root, place, base)]
        while stack:
            node, place, base = stack.pop()
            self._work.spend(4)
            if isinstance(node, bool):
                continue
            if not isinstance(node, dict):
                raise NoSchema(place, "must be an object, or true or false")
            node = cast("Node", node)
            if id(node) not in self._bases:
                inner = self._enter(node, place, base)
                stack += [(sub, where, inner) for sub, where in self._below(node, place)]

    def _enter(self, node: Node, place: str, base: str) -> str:
        """Look at one node's own keywords; returns the URI of its resource."""
        for keyword, value in node.items():
            self._work.spend()
            if keyword not in _SHAPES:
                continue
            fits, words = _SHAPES[keyword]
            if isinstance(value, list):
                self._work.spend(len(cast("list[Any]", value)) // 4)
            if not fits(cast("object", value)):
                raise NoSchema(f"{place}/{keyword}", words)
        if "$id" in node:
            base = _join(base, node["$id"], f"{place}/$id")[0]
            self._nodes[base] = node
        for keyword in ("$anchor", "$dynamicAnchor"):
            if keyword in node:
                self._nodes[f"{base}#{node[keyword]}"] = node
        if "$dynamicAnchor" in node:
            self._dynamic.add(f"{base}#{node['$dynamicAnchor']}")
        self.tracks |= "unevaluatedProperties" in node or "unevaluatedItems" in node
        self._bases[id(node)] = base
        self._pending += [(node, key, place) for key in ("$ref", "$dynamicRef") if key in node]
        self._patterns(node, place)
        return base

    def _patterns(self, node: Node, place: str) -> None:
        sources = [(node["pattern"], f"{place}/pattern")] if "pattern" in node else []
        by_pattern = node.get("patternProperties")
        if isinstance(by_pattern, dict):
            sources += [
                (source, f"{place}/patternProperties/{_escape(source)}")
                for source in cast("Node", by_pattern)
            ]
        for source, where in sources:
            self._work.spend(100 + len(source) // 4)
            try:
                self._work.spend(pattern(source).size // 2)  # to compile it takes that long
            except NoPattern as error:
                raise NoSchema(where, f"is a pattern that {error}") from None

    def _below(self, node: Node, place: str) -> Iterator[tuple[object, str]]:
        for keyword, value in node.items():
            where = f"{place}/{_escape(keyword)}"
            if isinstance(value, list | dict):
                self._work.spend(len(cast("list[Any]", value)))
            if keyword in _SOME or (keyword == "items" and isinstance(value, list)):  # draft 7
                yield from _list_items(cast("object", value), where)
            elif keyword in _NAMED_SCHEMAS:
                yield from _mapping_items(cast("object", value), where)
            elif keyword in _ONE:
                yield value, where

    def _target(self, node: Node, keyword: str, place: str) -> ReferenceTarget:
        reference: str = node[keyword]
        self._work.spend(20 + len(reference) // 16)
        resource, fragment = _join(self.base(node), reference, f"{place}/{keyword}")
        if fragment and not fragment.startswith("/"):
            uri = f"{resource}#{fragment}"
            if uri in self._nodes:
                dynamic = keyword == "$dynamicRef" and uri in self._dynamic
                return ReferenceTarget(self._nodes[uri], fragment if dynamic else "")
        elif resource in self._nodes:
            return ReferenceTarget(self._at(resource, fragment, f"{place}/{keyword}"))
        raise NoSchema(
            f"{place}/{keyword}", f"refers to {reference[:200]!r}, which is not in the schema"
        )

    def _at(self, resource: str, pointer: str, place: str) -> object:
        """The node at a JSON pointer."""
        node, base = self._nodes[resource], resource
        for step in pointer.split("/")[1:]:
            self._work.spend()
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and key in node:
                node = cast("Node", node)[key]
            elif (
                isinstance(node, list)
                and key.isdecimal()
                and int(key[:9]) < len(cast("list[Any]", node))
            ):
                node = cast("list[Any]", node)[int(key[:9])]
            else:
                raise NoSchema(place, f"refers to {pointer[:200]!r}, which is not in the schema")
            base = self._bases.get(id(node), base)
        self._walk(node, place, base)
        return node


def _list_items(values: object, place: str) -> Iterator[tuple[object, str]]:
    if not isinstance(values, list) or not values:
        raise NoSchema(place, "must be a list of schemas")
    for index, value in enumerate(cast("list[Any]", values)):
        yield value, f"{place}/{index}"


def _mapping_items(values: object, place: str) -> Iterator[tuple[object, str]]:
    if not isinstance(values, dict):
        raise NoSchema(place, "must be an object of schemas")
    for name, value in cast("Node", values).items():
        if not (place.endswith("/dependencies") and _strings(value)):
            yield value, f"{place}/{_escape(name)}"


def _join(base: str, reference: str, place: str) -> tuple[str, str]:
    """The resource and the fragment that a reference means where `base` is the URI."""
    if reference.startswith("#"):  # `urljoin` drops a base whose scheme it does not know
        return base, reference[1:]
    try:
        uri, fragment = urldefrag(urljoin(base, reference))
    except ValueError:
        raise NoSchema(place, "must be a URI reference") from None
    return uri, fragment


def _escape(name: str) -> str:
    return name[:200].replace("~", "~0").replace("/", "~1")


def fault(schema: object) -> str:
    """Why a schema cannot be used, with the place in it; `""` when it can."""
    try:
        Schema(schema, WorkBudget(LARGEST))
    except NoSchema as error:
        return str(error)
    except Overspent:
        return "the schema is too large to be checked"
    return ""
