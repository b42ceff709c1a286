"""Tests do not sleep: they wait for a condition (`tests/support/waiting.py`).

`sleep(0)` gives other tasks a turn and is allowed. Programs that tests start, in strings or in
`tests/support`, and the load generators of `tests/soak` and `tests/adversary` may sleep; a file that pytest
collects may not.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted([*TESTS.rglob("test_*.py"), *TESTS.rglob("conftest.py")])


def sleeps(tree: ast.AST) -> list[int]:
    """The lines that call a `sleep` for longer than 0."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "sleep"
        and [ast.unparse(each) for each in node.args] != ["0"]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_does_not_sleep(path: Path) -> None:
    assert not sleeps(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("call", ["time.sleep(0.1)", "asyncio.sleep(SECONDS)", "sleep(seconds=1)"])
def test_a_sleep_is_found(call: str) -> None:
    assert sleeps(ast.parse(call)) == [1]
    assert not sleeps(ast.parse("asyncio.sleep(0)"))
