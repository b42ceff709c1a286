"""On a Python that is too old tailrace fails with one sentence, before it fetches or builds anything.

The old Python is this one, with another version set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SENTENCE = "tailrace needs Python 3.11 or later; this is Python 3.9."
OLD = "import sys; sys.version_info = (3, 9, 18); "
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
"""Variables that a `make` passes to a nested `make`: a `make` runs these tests, too."""
TOLD = [
    (f"{OLD}sys.argv = ['-m']; import tailrace", SENTENCE),
    (f"{OLD}import tailrace", f"ImportError: {SENTENCE}"),
    (f"{OLD}sys.path.insert(0, {str(ROOT / 'scripts')!r}); import build_backend", SENTENCE),
]


@pytest.mark.parametrize(("program", "told"), TOLD, ids=["-m", "import", "pip"])
def test_it_is_one_sentence(program: str, told: str) -> None:
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == told


@pytest.mark.parametrize("target", ["demo", "test"])
@pytest.mark.parametrize("there", [True, False])
def test_make_reports_an_old_python_before_it_builds_anything(
    tmp_path: Path, target: str, there: bool
) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    python = tmp_path / "python3.9"
    if there:
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{OLD}exec(sys.argv[1])" "$2"\n')
        python.chmod(0o755)
    made = subprocess.run(
        ["make", target, f"PYTHON={python}"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name not in OF_MAKE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    assert "tailrace needs Python 3.11 or later, and " in made.stderr
    assert f"make PYTHON=python3.12 {target}" in made.stderr
    assert made.stdout == ""
    assert not (tmp_path / ".venv").exists()
