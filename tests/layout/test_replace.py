"""`msgspec.structs.replace(value, field=...)` names fields that exist: type checkers do not look at its
keywords."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "tailrace"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}


def fields(trees: list[ast.Module]) -> set[str]:
    """The names that classes declare with an annotation."""
    return {
        line.target.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def keywords(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of each keyword of a call of `structs.replace`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("structs.replace"):
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield node.lineno, keyword.arg


def test_every_keyword_of_replace_is_a_field() -> None:
    known = fields(list(TREES.values()))
    assert not [
        f"{path.relative_to(SOURCE)}:{line}: no class has a field {name!r}"
        for path, tree in TREES.items()
        for line, name in keywords(tree)
        if name not in known
    ]


def test_a_keyword_without_a_field_is_found() -> None:
    tree = ast.parse("class A(Struct):\n    one: int\nmsgspec.structs.replace(a, one=1, two=2)")
    assert [name for _, name in keywords(tree) if name not in fields([tree])] == ["two"]
