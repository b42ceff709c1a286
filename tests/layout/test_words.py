"""Text for users is standard technical English, without the phrases of our former style.

Checked are all tracked Markdown files but the changelog, the docstrings and comments of `src` and `tests`,
the names of tests and, in `src/tailrace`, the texts of raised exceptions, of log calls and of `help=`. The
patterns match phrases that we overused and that have a plain equivalent; CONTRIBUTING.md explains the style
and shows pairs. Code, and CONTRIBUTING's column of bad examples, are exempt.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"

PHRASES = {
    # pattern: what to write instead
    # a relative clause without an antecedent; "a user who has a token" is fine
    r"(?:^|[.;:|(]\s*|\b(?:of|for|to|by|from|but)\s+)who\s+(?:asks?|has|wants?|pays?|waits?|sends?|forgets?"
    r"|takes?|swallows?|comes?|reads?|goes|is|can)\b(?=[^?]*$)": "name the actor",
    r"\bwhoever\b": "name the actor",
    r"\b(nobody|somebody|anybody)\b": "name the actor: a client, a process, a person",
    r"\b(is|are|was|were|be|being) told\b(?! apart)": "receives, is informed of",
    r"\btold (anew|again)\b": "sent again",
    r"\banew\b": "again",
    r"\bin vain\b": "without effect",
    r"\b(go|goes|went|going) on\b": "continue",
    r"\bas (it|they) came\b": "unchanged",
    r"\bwhat (it|they|he|one) (is|are|was|were|had been) told\b": "name the object",
    r"\bwhat (comes|came|stands|follows it|follows them)\b": "name the object",
    r"\bwhat (is|are) (no|not|wrong|there|sent|said|asked|shown)\b": "name the object",
    r"\bwithout a character\b": "empty",
    r"\b(stands?|stood) (in|on|behind|beside|apart|there)\b": "is in, follows",
    r"\bmake(s)? of (it|them)\b": "name the result",
    r"\ba yes\b": "approval",
    r"\b(is|are) no (JSON|agent|graph|function|object|text|number|base64|key|form|such|usable)\b": "is not a",
    r"\basked for (again|once more)\b": "requested again, retried",
    r"\bused up\b": "exhausted",
    r"\bfor ever\b": "forever, without end",
    r"\bhe\b|\bhis\b|\bhimself\b": "name the actor",
    r"\bwhole (call|reply|turn)s?\b": "complete",
    r"\bside by side\b": "in parallel",
    r"\b(is|are|comes?) on (the|its|their) way\b": "is pending, in transit",
    r"\blet (go of|loose)\b": "release",
    r"\bshall count\b": "apply",
    r"\bis believed\b": "is accepted",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in PHRASES.items()}


def faults(text: str) -> list[str]:
    """The phrases of a text that have a plain equivalent."""
    return [
        f"{found[0]!r}: {instead}"
        for pattern, instead in PATTERNS.items()
        for found in pattern.finditer(text)
    ]


def prose(text: str) -> Iterator[str]:
    """The lines of a Markdown page without code and without the column of bad examples."""
    fenced = examples = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        examples = line.startswith("|") and (examples or line.startswith("| before | after"))
        if not fenced:
            shown = line.split("|", 2)[-1] if examples else line
            yield re.sub(r"`[^`]*`", "", shown)


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """All texts of a module that users may read: strings of words that are not docstrings."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and " " in node.value
        ):
            yield node.lineno, node.value


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if name != "CHANGELOG.md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_plain(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not [f"{line!r}: {fault}" for line in prose(text) for fault in faults(line)]


def test_messages_are_plain() -> None:
    assert not [
        f"{path.relative_to(SOURCE)}:{number}: {fault}"
        for path in sorted(SOURCE.rglob("*.py"))
        for number, text in messages(ast.parse(path.read_text(encoding="utf-8")))
        for fault in faults(text)
    ]


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The docstrings, the strings after assignments, and the comments of a module, without code in
    backticks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, _plain(str(node.value.value))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], _plain(token.string)


def _plain(text: str) -> str:
    return re.sub(r"`[^`]*`", "", " ".join(text.split()))


def test_names_of_tests_are_plain() -> None:
    """A name is the sentence that the test proves."""
    assert not [
        f"{path.relative_to(ROOT)}: {node.name}: {fault}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        for fault in faults(". " + node.name.removeprefix("test_").replace("_", " "))
    ]


def test_docstrings_and_comments_are_plain() -> None:
    files = [*SOURCE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert not [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in sorted(files)
        for line, text in comments(path.read_text(encoding="utf-8"))
        for fault in faults(text)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "What may be used up in a day is used up",
        "A record is removed by who reads it",
        "Who swallows it gets another one",
        "the client is told so",
        "a stream goes on",
        "a client that nobody reads",
    ],
)
def test_the_former_style_is_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "The client receives the error and retries the request.",
        "A user who has a token can list runs.",
        "Replies are told apart by their ids.",
        "There is no limit; 0 disables it.",
        "The default limits are on.",
    ],
)
def test_plain_english_passes(text: str) -> None:
    assert not faults(text)
