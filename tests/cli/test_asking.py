"""Commands whose run asks a question: a person at the terminal is asked; without a terminal the command
does not answer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.http.test_deploy import until
from tests.support.team_files import effects, team_server
from tests.support.terminals import terminal

FORMS = "[yes | edit: ARGUMENTS | no[: REASON] | respond: TEXT] [no]:"
ASKED = 'Run order({"what":"hat"})? ' + FORMS


def config(folder: Path) -> str:
    """The team's configuration, for a run without a server."""
    team_server(folder)
    return str(folder / "tailrace.toml")


DECISIONS = [
    ("y", 1),
    ("yes", 1),
    ("n", 0),
    ("no: too dear", 0),
    ("", 0),
    ('edit: {"what": "ship"}', 1),
    ("respond: We have one.", 0),
]


@pytest.mark.parametrize(("typed", "orders"), DECISIONS)
def test_a_person_decides_about_a_call(tmp_path: Path, typed: str, orders: int) -> None:
    with terminal(
        "run", "lead", "order a hat", "--config", config(tmp_path), folder=tmp_path
    ) as it:
        it.until(ASKED)
        assert effects(tmp_path, "order") == 0
        it.type(typed + "\n")
        it.until("All is done now.")
        assert it.ends() == 0
    assert effects(tmp_path, "order") == orders


@pytest.mark.parametrize("typed", ["maybe", "edit: {", 'edit: {"what": 1}'])
def test_a_call_is_put_again_until_the_decision_is_valid(tmp_path: Path, typed: str) -> None:
    with terminal(
        "run", "lead", "order a hat", "--config", config(tmp_path), folder=tmp_path
    ) as it:
        it.until(ASKED)
        it.type(typed + "\n")
        it.until(ASKED)
        it.type("no\n")
        assert it.ends() == 0
    assert effects(tmp_path, "order") == 0


def test_a_question_is_put_again_until_the_answer_fits(tmp_path: Path) -> None:
    with terminal("run", "lead", "ask them", "--config", config(tmp_path), folder=tmp_path) as it:
        it.until("Which colour?:")
        it.type("green\n")
        it.until("'green' is not one of ['red', 'blue']")
        it.until("Which colour?:")
        it.type("red\n")
        it.until("I asked.")
        assert it.ends() == 0


@pytest.mark.parametrize("more", [(), ("--as", "responses")])
def test_without_a_terminal_no_question_is_answered(tmp_path: Path, more: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tailrace", "run", "lead", "order a hat", *more]
    done = subprocess.run(
        [*command, "--config", config(tmp_path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=50,
    )
    assert done.returncode == 3
    (told,) = done.stderr.splitlines()
    assert told.startswith(
        "tailrace: the run waits for an answer, and nothing is kept here: Run order("
    )
    assert "tailrace answer RUN yes" in told
    assert done.stdout
    assert effects(tmp_path, "order") == 0


def test_the_demo_asks_the_person_and_keeps_its_runs(tmp_path: Path) -> None:
    command = ("demo", "--port", "0", "--data", str(tmp_path / "demo"))
    with terminal(*command, folder=tmp_path) as first:
        first.until(FORMS)
    with terminal(*command, folder=tmp_path) as second:
        second.until(FORMS)
        second.type("y\n")
        shown = second.until("Ctrl-C stops.")
        assert str(tmp_path / "demo") in shown
        url = re.search(r"http://[\d.:]+", shown)
        assert url is not None
        until(lambda: statuses(url[0]) == ["completed", "waiting"])


def statuses(url: str) -> list[str]:
    """The states of a server's runs; its list shows an end a moment after the readers see it."""
    jobs = httpx.get(f"{url}/jobs", timeout=20).json()["data"]
    return sorted(each["status"] for each in jobs)
