"""The pages agree with the code: generated pages, promises, ADRs, the README's commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.config import AgentConfig, McpConfig, ModelConfig, ServerConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, "-m", "scripts.docs", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_every_promise_has_its_number_and_marks_are_real() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/req.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    numbers = re.findall(
        r"^- \*\*R(\d+)\*\*", (DOCS / "promises.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [int(number) for number in numbers] == list(range(1, 193))


def test_every_setting_is_documented() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for kind in (ServerConfig, ModelConfig, AgentConfig, McpConfig):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text, name


def test_every_bound_has_a_test() -> None:
    chapter = (
        (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("## Bounds")[1].split("\n## ")[0]
    )
    rows = [row.strip("|").split(" | ") for row in chapter.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    for row in rows:
        assert len(row) == 4, row
        file, _, test = row[3].strip(" `").partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), row


@pytest.mark.parametrize("path", sorted((DOCS / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_an_adr_has_its_parts(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
    assert text.startswith(f"# {int(path.name[:4])}. ")
    for part in ("Date: ", "Status: ", "## Context", "## Decision", "## Consequences"):
        assert part in text, part


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index("make demo") < text.index("make test") < text.index("base_url")


@pytest.mark.req("R44")
@pytest.mark.req("R191")
def test_every_surface_has_its_chapter_with_the_same_parts() -> None:
    text = (ROOT / "PROTOCOLS.md").read_text(encoding="utf-8")
    for surface in ("Responses", "Chat Completions", "AI SDK UI", "AG-UI", "Native"):
        chapter = text.split(f"## {surface}")[1].split("\n## ")[0]
        for part in ("Shows", "Ids", "Resume", "End", "Usage", "Errors", "Gaps"):
            assert f"**{part}.**" in chapter, f"{surface}: {part}"
