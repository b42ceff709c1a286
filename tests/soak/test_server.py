"""The soak test of one server: its judge, and a few seconds of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.server import JUDGED
from tests.soak.trend import trend

ROOT = Path(__file__).parents[2]
NOISE = st.lists(st.floats(-3, 3), min_size=60, max_size=300)


@given(NOISE)
def test_a_series_that_only_trembles_does_not_grow(noise: list[float]) -> None:
    assert not trend([140 + each for each in noise]).grows(least=7)


@given(NOISE)
def test_a_leak_is_seen_through_the_trembling(noise: list[float]) -> None:
    leak = 30 / len(noise)
    assert trend([140 + leak * at + each for at, each in enumerate(noise)]).grows(least=5)


def test_one_peak_is_no_growth() -> None:
    assert not trend([70.0] * 50 + [300.0] * 10 + [70.0] * 50).grows(least=5)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_few_seconds_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.soak.server", "8", "seed", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong: 0" in done.stdout
    lines = (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line).keys() >= JUDGED.keys() for line in lines)
    assert (tmp_path / "samples.svg").read_text(encoding="utf-8").count("<polyline") > len(JUDGED)
