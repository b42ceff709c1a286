"""Fuzz the targets under atheris, one after the other: `python -m tests.fuzz.long [SECONDS] [TARGET]`.

Each target runs in a process of its own. libFuzzer writes an input that breaks it beside its corpus
(`crash-…`); fix the fault and keep the input.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 60


def one(target: str, seconds: str) -> None:
    """Fuzz a target in this process until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tailrace"]):
        from tests.support.fuzzed import CORPUS, TARGETS, seeds

    run = TARGETS[target]
    with tempfile.TemporaryDirectory() as work:
        for number, seed in enumerate(seeds(target)):
            (Path(work) / str(number)).write_bytes(seed)
        kept = CORPUS / target
        kept.mkdir(exist_ok=True)
        options = [f"-max_total_time={seconds}", "-max_len=20000", f"-artifact_prefix={kept}/"]
        atheris.Setup([sys.argv[0], work, *options], run)
        atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz every target, or one; return the number of targets that failed."""
    if arguments[:1] == ["--one"]:
        one(arguments[1], arguments[2])
        return 0
    from tests.support.fuzzed import TARGETS

    seconds = arguments[0] if arguments else str(SECONDS)
    broke = 0
    for target in arguments[1:] or TARGETS:
        sys.stderr.write(f"== {target}\n")
        command = [sys.executable, "-m", "tests.fuzz.long", "--one", target, seconds]
        broke += subprocess.run(command, check=False).returncode != 0
    return broke


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
