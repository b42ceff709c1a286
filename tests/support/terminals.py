"""Programs on a terminal: a pseudo-terminal for each, whose other end belongs to the test."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import patient


class Terminal:
    """The text that a person sees, and the keyboard."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self.shown = ""
        self.process = process
        self._end = end

    def until(self, text: str, seconds: float = 40.0) -> str:
        """Read until `text` is shown; returns the output up to it."""
        deadline = time.monotonic() + patient(seconds)
        while text not in self.shown:
            assert self._read(deadline - time.monotonic()), f"{text!r} never came: {self.shown}"
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def ends(self, seconds: float = 40.0) -> int:
        """The exit status, after the program has ended."""
        deadline = time.monotonic() + patient(seconds)
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(timeout=patient(seconds))

    def _read(self, seconds: float) -> bool:
        if not select.select([self._end], [], [], max(seconds, 0.0))[0]:
            return False
        try:
            data = os.read(self._end, 65_536)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)


@contextmanager
def terminal(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None
) -> Generator[Terminal]:
    """`tailrace` with these arguments, on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tailrace", *arguments]
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(ours)
