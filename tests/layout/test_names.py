"""Names and docstrings of the source: no bare participles, one class of each name, every function documented.

`naming.py` and `docstrings.py` hold the rules. The files and class names that do not follow them yet are in
`names_not_yet.toml`, which may only shrink: an entry that has become needless fails the test.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.layout.docstrings import classes, missing_docstrings
from tests.layout.naming import bare_participles

SOURCE = Path(__file__).parents[2] / "src" / "tailrace"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
FILES = {str(path.relative_to(SOURCE)): tree for path, tree in TREES.items()}
CLASSES = classes(TREES)
NOT_YET: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parent / "names_not_yet.toml").read_text(encoding="utf-8")
)
PARTICIPLES, UNDOCUMENTED = set(NOT_YET["participles"]), set(NOT_YET["undocumented"])
NEEDLESS = "follows the rule: remove it from names_not_yet.toml"


@pytest.mark.parametrize("file", FILES)
def test_no_name_is_a_bare_participle(file: str) -> None:
    names = bare_participles(FILES[file])
    if file in PARTICIPLES:
        assert names, NEEDLESS
    else:
        assert not names


@pytest.mark.parametrize("file", FILES)
def test_every_public_function_is_documented(file: str) -> None:
    functions = missing_docstrings(FILES[file], CLASSES)
    if file in UNDOCUMENTED:
        assert functions, NEEDLESS
    else:
        assert not functions


def test_no_two_classes_have_one_name() -> None:
    counts = Counter({name: len(several) for name, several in CLASSES.items()})
    assert {name for name, count in counts.items() if count > 1} == set(NOT_YET["classes"])


def test_the_exceptions_exist() -> None:
    assert FILES.keys() >= PARTICIPLES | UNDOCUMENTED


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
