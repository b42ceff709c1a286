"""The official openai Python clients, three versions, against a live server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator

import pytest

from tests.support.servers import ChildServer, running
from tests.support.strict import CURRENT, ROOT, VERSIONS

PROMISES = (
    "R2 R4 R7 R9 R10 R21 R22 R23 R24 R48 R53 R54 R56 R57 R58 R101 R102 R103 R104 R105 R106 R109 R110 R113 "
    "R118 R119 R120 R121 R122 R123 R126 R129 R130 R131 R132 R175 R176 R180 R181 R182 R183 R184 R185 R187"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    with running(tmp_path_factory.mktemp("server")) as child:
        yield child


def _with_promises(function: Callable[..., None]) -> Callable[..., None]:
    for number in PROMISES.split():
        function = pytest.mark.req(number)(function)
    return function


@_with_promises
@pytest.mark.parametrize("version", VERSIONS)
def test_the_sdk_does_all_it_can(server: ChildServer, version: str) -> None:
    python = sys.executable
    if version != CURRENT:
        python = str(ROOT / ".clients" / f"openai-{version}" / "bin" / "python")
    done = subprocess.run(
        [python, "tests/clients/sdk_scenarios.py", server.url, version],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
