"""Prints which of the numbered promises of docs/promises.md no test checks.

A test says which promises it checks by `@pytest.mark.req("R8")`; this reads the marks without running
anything. Exit status 1 when a promise is named by a test but does not exist.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROMISE = re.compile(r"^- \*\*(R\d+)\*\* (.*)$", re.MULTILINE)
MARK = re.compile(r'mark\.req\("(R\d+)"\)')
LIST = re.compile(r"^PROMISES = \(\n(.*?)\n\)$", re.MULTILINE | re.DOTALL)


def promises() -> dict[str, str]:
    """Every promise, by its number."""
    return dict(PROMISE.findall((ROOT / "docs" / "promises.md").read_text(encoding="utf-8")))


def tested() -> set[str]:
    """The numbers that tests carry."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found.update(MARK.findall(text))
        for block in LIST.findall(text):
            found.update(re.findall(r"R\d+", block))
    return found


def main() -> int:
    """Print; returns the exit status."""
    known, have = promises(), tested()
    for number in sorted(known.keys() - have, key=lambda name: int(name[1:])):
        print(f"{number} {known[number]}")
    print(f"{len(known.keys() & have)} of {len(known)} promises have a test")
    unknown = have - known.keys()
    if unknown:
        print("tests name promises that do not exist:", ", ".join(sorted(unknown)))
    return 1 if unknown else 0


if __name__ == "__main__":
    raise SystemExit(main())
