"""`tailrace …`, as a person or a script runs it: a process of its own, in a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.forks import shared
from tests.support.patience import patient

PROGRAM = "from tailrace.cli import main; main()"


def tailrace(
    *arguments: str, folder: Path | None = None, program: str = PROGRAM
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; returns its output and its exit status. `program` is the program that runs it."""
    there = f"import os; os.chdir({str(folder or Path.cwd())!r})\n"
    with TemporaryDirectory() as prints:
        output, errors = Path(prints, "output"), Path(prints, "errors")
        process = shared().start(there + program, arguments, errors, output)
        try:
            status = process.wait(timeout=patient(40))
        finally:
            process.send_signal(9)
        said = [path.read_text(encoding="utf-8") for path in (output, errors)]
    return subprocess.CompletedProcess(["tailrace", *arguments], status, *said)
