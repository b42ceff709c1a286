"""Invariants of ARCHITECTURE.md that the source itself shows; the tests that the page names exist."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai._streaming import SSEDecoder

from tailrace.http import event_stream
from tailrace.http.event_stream import StreamFraming
from tailrace.protocols.framing.sse import SseDecoder

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

APPEND = {
    # the writer; an import, without a worker; the barrier that keeps a run from beginning
    "runs/writer.py",
    "log/transfer.py",
    "runs/barrier.py",
}


def calls(name: str, keyword: str) -> Iterator[str]:
    """The files that call a method of this name with this keyword."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(f".{name}"):
                continue
            if any(each.arg == keyword for each in node.keywords):
                yield str(path.relative_to(SOURCE))


def test_only_the_writer_appends_to_a_log() -> None:
    callers = {file for file in calls("append", "expected") if not file.startswith("log/stores/")}
    assert callers == APPEND


ROWS = [
    line.strip("| ").split(" | ")
    for line in PAGE.split("## Invariants")[1].split("\n## ")[0].splitlines()
    if line.startswith("| **")
]
"""The table of invariants: each statement, and what enforces it."""


def contracts() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return {each["name"] for each in tomllib.loads(text)["tool"]["importlinter"]["contracts"]}


def missing(enforced_by: str) -> list[str]:
    """The contracts and tests of a row that do not exist; the row itself if it names none."""
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", enforced_by)
    named = re.findall(r"\*([^*]+)\*", enforced_by)
    if not tests and not named and not enforced_by.startswith("not enforced"):
        return [enforced_by]
    return [name for name in named if name not in contracts()] + [
        f"{file}::{test}"
        for file, test in tests
        if not (ROOT / file).exists()
        or not re.search(rf"def {test}\(", (ROOT / file).read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_an_invariant_is_enforced_by_what_its_row_names(row: list[str]) -> None:
    assert len(row) == 2, row
    assert not missing(row[1])


def test_every_contract_belongs_to_an_invariant() -> None:
    assert len(ROWS) > 10
    assert contracts() == {name for row in ROWS for name in re.findall(r"\*([^*]+)\*", row[1])}


@pytest.mark.parametrize(
    "enforced_by",
    [
        "",
        "review",
        "contract *No such contract*",
        "`tests/layout/test_invariants.py::test_that_does_not_exist`",
        "`tests/layout/test_gone.py::test_an_invariant`",
    ],
)
def test_a_row_without_a_real_test_or_contract_is_found(enforced_by: str) -> None:
    assert missing(enforced_by)


def test_the_files_that_the_page_names_are_there() -> None:
    there = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    named = {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", PAGE)}
    assert len(named) > 20
    assert named <= there


FRAMINGS = {
    name: value for name, value in vars(event_stream).items() if isinstance(value, StreamFraming)
}
FRAMES = [b'id: 1\nevent: x\ndata: {"a": 1}\n\n', b'data: {"b": "c"}\n\n', b"data: [DONE]\n\n"]


@pytest.mark.parametrize("name", FRAMINGS)
def test_a_heartbeat_between_frames_changes_nothing(name: str) -> None:
    ping = FRAMINGS[name].ping
    if "ndjson" in FRAMINGS[name].headers["content-type"]:
        assert ping == b"\n"
        return
    assert re.fullmatch(rb":[^\n]*\n", ping), "a comment, and no blank line"
    plain, beaten = b"".join(FRAMES), ping + ping.join(FRAMES) + ping
    assert [(e.event, e.data) for e in SseDecoder().feed(beaten)] == [
        (e.event, e.data) for e in SseDecoder().feed(plain)
    ]
    theirs = [
        [(e.event, e.data) for e in SSEDecoder().iter_bytes(iter([data]))]
        for data in (plain, beaten)
    ]
    assert theirs[0] == theirs[1]


def test_only_ag_ui_ends_an_incomplete_stream() -> None:
    assert {name for name, each in FRAMINGS.items() if each.ends} == {"AGUI"}
    assert b"stream_cut_off" in FRAMINGS["AGUI"].goodbye
    for name in FRAMINGS.keys() - {"AGUI"}:
        assert not re.search(rb"^(data|event):", FRAMINGS[name].goodbye, re.MULTILINE), name
