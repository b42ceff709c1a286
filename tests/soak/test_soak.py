"""The load and one round of its faults, in the ordinary tests: `make soak` is the same for longer."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAULTS = 30


@pytest.mark.long
@pytest.mark.timeout(300)
def test_runs_and_readers_outlive_thirty_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-8_000:]
    counted = ast.literal_eval(done.stdout.rpartition("faults: ")[2])
    assert sum(counted.values()) >= FAULTS, counted
