"""Finds public functions without a docstring that do not implement a documented method either, and the names
in docstrings.

A method implements another if a base class of its class, or a protocol whose methods its class all has,
documents a method of the same name. Classes are matched by name: the tree has no two classes of one name
(`test_names.py`). A base class of another package documents its own methods.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

PLAIN_BASES = {
    "ABC",
    "Enum",
    "Exception",
    "Generic",
    "NamedTuple",
    "Protocol",
    "Struct",
    "TypedDict",
}
"""Bases of other packages whose methods a class does not override."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Class(Struct, frozen=True):
    """A class: the names of its bases, and its members, each with whether it is a method with a docstring."""

    bases: tuple[str, ...]
    methods: Mapping[str, bool]

    @property
    def is_protocol(self) -> bool:
        """Whether other classes implement it without naming it as a base."""
        return "Protocol" in self.bases


Classes = Mapping[str, tuple[Class, ...]]
"""The classes of a tree by their name."""


def classes(trees: Mapping[Path, ast.Module]) -> Classes:
    """The classes of all modules, also those inside others."""
    by_name: dict[str, tuple[Class, ...]] = {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                by_name[node.name] = (*by_name.get(node.name, ()), _class(node))
    return by_name


def missing_docstrings(tree: ast.Module, index: Classes) -> list[str]:
    """The public functions of a module and the public methods of its classes that have no docstring and
    inherit none, each as `line: name`."""
    return [f"{node.lineno}: {name}" for node, name in _missing(tree, index)]


def _missing(parent: ast.Module | ast.ClassDef, index: Classes) -> Iterator[tuple[Function, str]]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef):
            yield from _missing(node, index)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            if ast.get_docstring(node) or _is_decorated(node, "setter", "overload"):
                continue
            if isinstance(parent, ast.Module):
                yield node, node.name
            elif not _implements(_class(parent), node.name, index):
                yield node, f"{parent.name}.{node.name}"


def _implements(own: Class, method: str, index: Classes) -> bool:
    methods = set(own.methods)
    bases = list(own.bases)
    for name in bases:
        if name not in index and name not in PLAIN_BASES:
            return True  # a class of another package, which has documentation of its own
        for base in index.get(name, ()):
            if base.methods.get(method):
                return True
            methods |= base.methods.keys()
            bases += [each for each in base.bases if each not in bases]
    return any(
        each.is_protocol and each.methods.get(method) and each.methods.keys() <= methods
        for several in index.values()
        for each in several
    )


def _class(node: ast.ClassDef) -> Class:
    methods = dict.fromkeys(_attributes(node), False)
    for each in node.body:
        if isinstance(each, Function):
            methods[each.name] = ast.get_docstring(each) is not None
    bases = tuple(ast.unparse(base).split("[")[0].rpartition(".")[2] for base in node.bases)
    return Class(bases, methods)


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    """A protocol's property may be an attribute of the class that implements it."""
    for each in ast.walk(node):
        match each:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield each.attr
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def _is_decorated(node: Function, *names: str) -> bool:
    return any(ast.unparse(each).rpartition(".")[2] in names for each in node.decorator_list)


NAME = re.compile(r"`([a-z_]{3,})`")
ERROR = re.compile(r"\bRaises?\b[^.]*")
ERROR_NAME = re.compile(r"`([A-Z][A-Za-z]+)`")


def names_in_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The lower-case names in backticks in docstrings and in strings after assignments, and the errors that
    they say are raised, with their lines."""
    for node in _docstrings(tree):
        text = str(node.value)
        for name in NAME.findall(text):
            yield node.lineno, name
        for sentence in ERROR.findall(text):
            for name in ERROR_NAME.findall(sentence):
                if not hasattr(builtins, name):
                    yield node.lineno, name


def names_in_code(tree: ast.Module) -> set[str]:
    """All names in a module's code, and the words of its strings other than docstrings."""
    documentation = {id(node) for node in _docstrings(tree)}
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() | bytes() as text) if id(node) not in documentation:
                words = text if isinstance(text, str) else text.decode("latin-1")
                names.update(re.findall(r"\w+", words))
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                names.add(name)
            case ast.keyword(arg=str() as name) | ast.alias(asname=str() as name):
                names.add(name)
            case ast.alias(name=name):
                names.update(name.split("."))
            case _:
                pass
    return names | set(definitions(tree))


def definitions(tree: ast.Module) -> Iterator[str]:
    """The names of a module's functions, classes and annotated fields."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
