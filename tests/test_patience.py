"""How the suite waits: longer on a busy machine, never without end, and without a process left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forks import forking
from tests.support.patience import MOST, patient, strain
from tests.support.servers import ChildServer

ROOT = Path(__file__).parents[1]
DEAF = (
    "import signal, sys; sys.stderr.write('I do not listen.'); sys.stderr.flush(); signal.pause()"
)
"""A program that starts and never answers."""

FAILING = """
import time
from hypothesis import given, settings, strategies as st

@settings(max_examples=500, database=None)
@given(st.lists(st.integers(), min_size=1))
def test_it(numbers):
    time.sleep(1.0)
    assert sum(numbers) < 1_000_000, "the true failure"
"""
HANGING = """
import time
from hypothesis import given, settings, strategies as st

@settings(database=None)
@given(st.integers())
def test_it(number):
    if number > 10:
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("minute", "now", "cores", "times"),
    [
        (0.0, 1.0, 2, 1.0),
        (4.0, 4.0, 2, 1.0),
        (12.0, 4.0, 2, 3.0),
        (4.0, 12.0, 2, 3.0),
        (36.0, 1.0, 8, 2.25),
        (9_000.0, 1.0, 2, MOST),
    ],
)
def test_things_take_longer_in_proportion(
    minute: float, now: float, cores: int, times: float
) -> None:
    assert strain(minute, now, cores) == times
    assert patient(10) >= 10


def test_a_start_that_fails_leaves_no_process_behind(tmp_path: Path) -> None:
    server = ChildServer(tmp_path)
    begun: list[int] = []
    until = server._until_it_answers

    def noted(**how: object) -> None:
        assert server.process is not None
        begun.append(server.process.pid)
        until(**how)  # type: ignore[arg-type]

    server._until_it_answers = noted  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="the server does not answer"):
        server.start(program=DEAF, seconds=0.5)
    assert server.process is None
    (pid,) = begun
    assert not Path(f"/proc/{pid}").exists()


def test_a_server_that_a_test_forgets_ends_with_the_session(tmp_path: Path) -> None:
    forgets = tmp_path / "test_forgets.py"
    forgets.write_text(
        "from tests.support.servers import ChildServer\n\n"
        "def test_it(tmp_path):\n"
        "    server = ChildServer(tmp_path).start()\n"
        "    print('pid', server.process.pid)\n"
        "    assert 0\n",
        encoding="utf-8",
    )
    said = session(forgets)
    (pid,) = [line.split()[1] for line in said.splitlines() if line.startswith("pid ")]
    assert not Path(f"/proc/{pid}").exists()


def session(file: Path, seconds: float = 60.0) -> str:
    """The output of a session over a file of tests, with this many seconds for a property."""
    conftest = "from tests.conftest import *  # noqa\nfrom tests.conftest import __all__ as _\n"
    (file.parent / "conftest.py").write_text(
        conftest + SHORT.format(seconds=seconds), encoding="utf-8"
    )
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-q", str(file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(100),
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout


SHORT = """
from tests import conftest
from tests.conftest import engine, pytest_sessionfinish
from tests.support import patience

engine.MAX_SHRINKING_SECONDS = 1
patience.PROPERTY_SECONDS = {seconds}
"""


@pytest.mark.long
def test_a_property_that_fails_shows_its_failure_and_not_the_clock(tmp_path: Path) -> None:
    file = tmp_path / "test_failing.py"
    file.write_text(FAILING, encoding="utf-8")
    said = session(file, 25.0)
    assert "AssertionError: the true failure" in said
    assert "Failing test case: test_it(" in said
    assert "Flaky" not in said


@pytest.mark.long
def test_a_property_that_hangs_is_ended_and_not_called_flaky(tmp_path: Path) -> None:
    file = tmp_path / "test_hanging.py"
    file.write_text(HANGING, encoding="utf-8")
    said = session(file, 3.0)
    assert "Hung: it took more than" in said
    assert "Flaky" not in said


def test_forks_begin_wherever_a_test_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any test may start the first server, so the current folder at that moment may be another one."""
    monkeypatch.chdir(tmp_path)
    with forking() as forks:
        fork = forks.start("import os; print(os.getcwd())", [], tmp_path / "errors.txt")
        assert fork.wait(20) == 0
    assert (tmp_path / "errors.txt").read_text(encoding="utf-8").strip() == str(tmp_path)
