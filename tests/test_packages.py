"""The TypeScript package, by its own tests: the promises that they prove, and that no build output is
committed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "packages" / "ai-sdk"
EXAMPLE = ROOT / "examples" / "nextjs-chat"
NODE = ROOT / ".clients" / "node22" / "node_modules" / "node" / "bin"

# fmt: off
PROMISES = (
    "R46", "R55", "R59", "R60", "R61", "R62", "R63", "R64", "R65", "R66", "R67", "R68", "R69",
    "R70", "R71", "R72", "R73", "R74", "R75", "R76", "R77", "R78", "R79", "R80",
    "R85", "R86", "R87", "R88", "R89", "R90", "R91", "R92",
    "R93", "R94", "R95", "R96", "R97", "R98", "R99", "R100",
)
# fmt: on


@pytest.mark.timeout(240)
@pytest.mark.skipif(
    not (NODE / "node").exists() or not (PACKAGE / "dist").exists(),
    reason="make test-node has not been run here",
)
def test_the_package_proves_its_promises() -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", *map(str, PACKAGE.glob("test/*.test.ts"))],
        cwd=PACKAGE,
        env={
            **os.environ,
            "PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    failed = re.findall(
        r"^ *(?:# (?!Subtest).*\n|not ok (?:.*\n){1,12})", done.stdout, re.MULTILINE
    )
    assert done.returncode == 0, "".join(failed) or done.stderr
    passed = re.findall(r"^ *ok \d+ - (.*)$", done.stdout, re.MULTILINE)
    proven = {
        number for name in passed if "# SKIP" not in name for number in re.findall(r"R\d+", name)
    }
    assert proven == set(PROMISES)


@pytest.mark.parametrize("folder", [PACKAGE, EXAMPLE], ids=lambda folder: folder.name)
def test_versions_are_exact(folder: Path) -> None:
    said = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    for name, version in {**said.get("dependencies", {}), **said["devDependencies"]}.items():
        assert re.fullmatch(r"(npm:\w+@)?\d+\.\d+\.\d+|file:[./\w-]+", version), name


def test_the_package_depends_on_nothing() -> None:
    said = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & said.keys()


def test_files_are_short_and_ours() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "packages", "examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in tracked:
        assert not re.search(r"package-lock|node_modules/|\.next/|dist/", name), name
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 400, name
