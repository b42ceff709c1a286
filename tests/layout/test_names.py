"""Names and docstrings of the source: no bare participles, one class of each name, every function documented,
and no docstring about a name that does not exist.

`naming.py` and `docstrings.py` hold the rules.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.layout.docstrings import (
    classes,
    definitions,
    missing_docstrings,
    names_in_code,
    names_in_docstrings,
)
from tests.layout.naming import bare_participles

SOURCE = Path(__file__).parents[2] / "src" / "tailrace"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
FILES = {str(path.relative_to(SOURCE)): tree for path, tree in TREES.items()}
CLASSES = classes(TREES)
PUBLIC_NAMES = {"Custom"}
"""Classes whose name is public in two places: a tool of a request, and an event of an agent's author."""
TERMS = {
    "nostream",
    "recursion_limit",
    "mcp_tool_result",
    "tool_result",
    "ack_wait",
    "auto_vacuum",
    "citations_delta",
    "commentary",
    "compaction_delta",
    "computer_call",
    "create_agent",
    "encrypted_content",
    "enum",
    "final_answer",
    "image_generation",
    "input_json_delta",
    "iter_lines",
    "mcp_tool_use",
    "CancelledError",
    "_meta",
    "model_not_found",
    "msg",
    "namespace__name",
    "null",
    "previous_response_id",
    "quality",
    "rate_limit_exceeded",
    "sequence_number",
    "shown",
    "signature",
    "stream_options",
    "sum_of",
    "tailrace",
    "tool_search",
    "true",
    "wav",
}
"""Words of protocols and libraries that docstrings mention and the code of the same file does not have."""


def test_no_name_is_a_bare_participle() -> None:
    assert not [f"{file}:{name}" for file, tree in FILES.items() for name in bare_participles(tree)]


def test_every_public_function_is_documented() -> None:
    assert not [
        f"{file}:{name}"
        for file, tree in FILES.items()
        for name in missing_docstrings(tree, CLASSES)
    ]


def test_no_two_classes_have_one_name() -> None:
    counts = Counter({name: len(several) for name, several in CLASSES.items()})
    assert {name for name, count in counts.items() if count > 1} == PUBLIC_NAMES


def test_docstrings_name_what_exists() -> None:
    """A renamed parameter leaves its former name in the docstring; type checkers do not read these."""
    defined = {path.stem for path in TREES}.union(*map(definitions, FILES.values()))
    unknown = [
        (name, f"{file}:{line}: {name}")
        for file, tree in FILES.items()
        for line, name in names_in_docstrings(tree)
        if name not in defined and name not in names_in_code(tree)
    ]
    assert not [place for name, place in unknown if name not in TERMS]
    assert {name for name, _ in unknown} == TERMS, "a term that is no longer needed"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('def f(offset):\n    """From `known` on."""', "known"),
        ('class A:\n    """`seen`: those before."""\n    evaluations = 1', "seen"),
        ('def f():\n    """Ask. Raises `ValueError`, `Refused`."""', "Refused"),
    ],
)
def test_a_former_name_in_a_docstring_is_found(source: str, name: str) -> None:
    tree = ast.parse(source)
    assert [each for _, each in names_in_docstrings(tree)] == [name]
    assert name not in names_in_code(tree)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("found = 1", "found"),
        ("class Given: ...", "Given"),
        ("def _told(): ...", "_told"),
        ("def f(asked): ...", "asked"),
        ("def f(*, _asked=1): ...", "_asked"),
        ("lambda said: 1", "said"),
        ("class A:\n    kept: int", "kept"),
        ("self._made = 1", "_made"),
        ("for known in range(3): ...", "known"),
        ("[shown for shown in x]", "shown"),
        ("with x as opened: ...", "opened"),
        ("match x:\n    case [given, *_]: ...", "given"),
        ("try: ...\nexcept E as raised: ...", "raised"),
        ("KEPT = 1", "KEPT"),
        ("def closed(): ...", "closed"),
        ("def closed() -> int: ...", "closed"),
        ("def closed() -> tuple[str, bool]: ...", "closed"),
        ("closed: int = 1", "closed"),
        ("import x as said", "said"),
    ],
)
def test_a_bare_participle_is_found(source: str, name: str) -> None:
    assert [each.partition(": ")[2] for each in bare_participles(ast.parse(source))] == [name]


@pytest.mark.parametrize(
    "source",
    [
        "record = last_seen = text_given = _on_node_started = 1",
        "class RunCompleted: ...",
        "def closed() -> bool: ...",
        "closed = True",
        "def f(closed: bool | None = None): ...",
        "speed = need = seed = red = 1",
        "cached: int = 1",
        "found[0] = x.found",
    ],
)
def test_another_name_passes(source: str) -> None:
    assert not bare_participles(ast.parse(source))


DOCUMENTED = '''
class Port(Protocol):
    def read(self):
        """Documented."""
    def write(self): ...
class Base:
    def end(self):
        """Documented."""
'''


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def read(): ...", ["read"]),
        ("def _read(): ...", []),
        ("class A:\n    def read(self): ...", ["A.read"]),
        ("class A(Struct):\n    def read(self): ...", ["A.read"]),
        ("class A(Port):\n    def read(self): ...\n    def write(self): ...", ["A.write"]),
        ("class A:\n    def read(self): ...\n    def write(self): ...", ["A.write"]),
        ("class A(Base):\n    def end(self): ...\n    def begin(self): ...", ["A.begin"]),
        ("class B(Base): ...\nclass A(B):\n    def end(self): ...", []),
        ("class A(logging.Handler):\n    def emit(self): ...", []),
        ("def f():\n    'Documented.'\n    def inner(): ...", []),
    ],
)
def test_a_function_without_documentation_is_found(source: str, names: list[str]) -> None:
    tree = ast.parse(source)
    index = classes({Path("a.py"): ast.parse(DOCUMENTED), Path("b.py"): tree})
    assert [each.partition(": ")[2] for each in missing_docstrings(tree, index)] == names
