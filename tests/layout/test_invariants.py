"""Invariants of ARCHITECTURE.md that the source itself shows; the tests that the page names are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai._streaming import SSEDecoder

from tailrace.http import framing
from tailrace.http.framing import Framing
from tailrace.protocols.framing.sse import SseDecoder

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

APPEND = {
    # who may append to a log: the writer; an import, where nobody works; what keeps a run from beginning
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


def test_nobody_else_appends_to_a_log() -> None:
    callers = {file for file in calls("append", "expected") if not file.startswith("log/stores/")}
    assert callers == APPEND


def test_the_tests_that_the_page_names_are_there() -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    tests = re.findall(r"`(test_\w+)`", PAGE)
    assert files
    assert tests
    for file in files:
        assert (ROOT / file).exists(), file
    every = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    for test in tests:
        assert f"def {test}(" in every, test


def test_the_files_that_the_page_names_are_there() -> None:
    there = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    named = {Path(name).name for name in re.findall(r"`([\w/]+\.py)`", PAGE)}
    assert len(named) > 20
    assert named <= there


FRAMINGS = {name: value for name, value in vars(framing).items() if isinstance(value, Framing)}
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


def test_only_ag_ui_ends_what_is_not_whole() -> None:
    assert {name for name, each in FRAMINGS.items() if each.ends} == {"AGUI"}
    assert b"stream_cut_off" in FRAMINGS["AGUI"].goodbye
    for name in FRAMINGS.keys() - {"AGUI"}:
        assert not re.search(rb"^(data|event):", FRAMINGS[name].goodbye, re.MULTILINE), name
