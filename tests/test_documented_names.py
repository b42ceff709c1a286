"""The names of the library that the pages mention can be imported from `tailrace`."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import tailrace

ROOT = Path(__file__).parents[1]
GENERATED = {"compatibility.md", "events.md"}
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "PROTOCOLS.md", *(ROOT / "docs").glob("*.md"))
    if path.name not in GENERATED
)
OURS = {
    node.name
    for path in (ROOT / "src" / "tailrace").rglob("*.py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    and not node.name.startswith("_")
}
SPAN = re.compile(r"(tailrace(?:\.\w+)+)|(?<![\w.])([A-Z]\w+(?:\.\w+)?)(?=\(|$)")
"""A name with its package, or one that is called or is at the end."""
MODULES = {path.stem for path in (ROOT / "src" / "tailrace").iterdir()}
LATE = {"LangGraphRuntime", "OpenAIAgentsRuntime", "PydanticAIRuntime"}
"""Names whose module imports a framework."""


def code(path: Path) -> Iterator[tuple[str, str]]:
    """The spans and fences of a page, with their language."""
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        if token.type == "fence":
            yield token.info, token.content
        for inner in token.children or ():
            if inner.type == "code_inline":
                yield "", inner.content


def named(path: Path) -> Iterator[str]:
    """The dotted names of ours that a page uses as Python: `App`, `App.asgi`, `tailrace.http.logs.Plain`."""
    for language, text in code(path):
        if language == "python":
            yield from _of_program(text)
        elif language == "":
            for dotted, name in SPAN.findall(text):
                first = name.partition(".")[0]
                if dotted and _is_python(dotted):
                    yield dotted
                elif first in OURS:
                    yield f"tailrace.{name}"


def _is_python(dotted: str) -> bool:
    """It is not a logger, a file, a group of entry points, a key or an event of some surface."""
    first = dotted.split(".")[1]
    return first[0].isupper() or first in tailrace.__all__ or first in MODULES


def _of_program(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tailrace"):
            yield from (f"{node.module}.{each.name}" for each in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("tailrace."):
            yield ast.unparse(node)


def resolves(dotted: str) -> bool:
    """Whether a dotted name resolves, through modules and then attributes."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


NAMED = sorted({name for path in PAGES for name in named(path)})


@pytest.mark.parametrize("name", NAMED)
def test_a_name_of_the_pages_is_there(name: str) -> None:
    assert resolves(name)


def test_the_pages_name_what_there_is() -> None:
    first = {name.split(".")[1] for name in NAMED}
    documented = {name for name in tailrace.__all__ if name != "__version__"}
    assert documented <= first, "exported, and no page says of it"


def test_a_name_needs_no_framework() -> None:
    names = ", ".join(sorted(set(tailrace.__all__) - LATE))
    program = "import sys; sys.modules.update(pydantic_ai=None, langgraph=None, agents=None); "
    subprocess.run([sys.executable, "-c", f"{program}from tailrace import {names}"], check=True)
