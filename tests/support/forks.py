"""Processes that are forks of one interpreter which has imported tailrace already.

The tests start some thousand servers and commands, and most of a start is imports. A fork is a process of
its own that runs what `python -c PROGRAM` runs, with the folder and the environment of the caller; it opens
its files, threads and loop itself, and is killed like any other process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

WARM = (
    "pydantic.main",
    "pydantic.types",
    "tailrace.cli.serving",
    "tailrace.log.stores.sqlite.store",
    "tailrace.log.stores.sqlite.records",
    "uvloop",
)
"""Modules of every server; those of the command line's library are the slowest."""
ROOT = Path(__file__).parents[2]
BREED = "from tests.support.forks import breed; breed()"


class Fork:
    """A forked process; the part of `subprocess.Popen` that servers need."""

    def __init__(self, forks: Forks, pid: int) -> None:
        self.pid = pid
        self._forks = forks
        self._gone = os.pidfd_open(pid)
        self._status: int | None = None
        self._reaping = threading.Lock()  # one thread may wait for a start while another one kills
        weakref.finalize(self, os.close, self._gone)

    def poll(self) -> int | None:
        """The exit status, as `Popen` gives it; None while it lives."""
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Wait for its end. Raises `TimeoutExpired`."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a fork", timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._gone, number)

    def _look(self, seconds: float) -> int | None:
        if self._status is None and select.select([self._gone], [], [], seconds)[0]:
            with self._reaping:
                if self._status is None:
                    self._status = self._forks.ask(reap=self.pid)
        return self._status


class Forks:
    """The interpreter that is forked."""

    def __init__(self, imports: Sequence[str]) -> None:
        """It imports `imports` too, which all its forks need."""
        self._turn = threading.Lock()
        command = [sys.executable, "-c", BREED, *WARM, *imports]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )  # a test may have changed to a folder of its own

    def ask(self, **what: Any) -> int:
        """Send one line, and receive one number; from any thread."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        with self._turn:
            asked.write(json.dumps(what) + "\n")
            asked.flush()
            return int(told.readline())

    def start(
        self, program: str, arguments: Sequence[str], errors: Path, output: Path | None = None
    ) -> Fork:
        """Start `python -c program arguments`, with its output appended to the file `errors`, or with its
        standard output in `output`."""
        prints = [str(output or errors), str(errors)]
        place: dict[str, Any] = {"folder": os.getcwd(), "environment": dict(os.environ)}
        pid = self.ask(program=program, arguments=[*arguments], prints=prints, **place)
        return Fork(self, pid)

    def close(self) -> None:
        """End it; its forks belong to their callers."""
        self._process.communicate()


@cache
def shared() -> Forks:
    """The interpreter of this session's tests, which ends with its input."""
    return Forks(())


@contextmanager
def forking(*imports: str) -> Generator[Forks, None, None]:
    """Such an interpreter, for the duration of a test session or a module."""
    forks = Forks(imports)
    try:
        yield forks
    finally:
        forks.close()


def breed() -> None:
    """In that interpreter: import, then fork for each line of input."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # shared memory stays shared
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            number = os.waitstatus_to_exitcode(os.waitpid(asked["reap"], 0)[1])
        else:
            number = os.fork()
            if number == 0:
                return _become(**asked)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    return None


def _become(
    program: str, arguments: list[str], prints: list[str], folder: str, environment: dict[str, str]
) -> None:
    add = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for ours, file, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, prints[0], add),
        (2, prints[1], add),
    ):
        opened = os.open(file, mode, 0o644)
        os.dup2(opened, ours)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = ["-c", *arguments]
    exec(program, {"__name__": "__main__"})
