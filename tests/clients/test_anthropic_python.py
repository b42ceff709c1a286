"""The official anthropic Python clients, two versions of two API versions, against a live server."""

from __future__ import annotations

import subprocess
from collections.abc import Generator

import pytest

from tests.support.servers import ChildServer, running
from tests.support.strict import MESSAGES_VERSIONS, ROOT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    with running(tmp_path_factory.mktemp("server")) as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.mark.req("R177")
@pytest.mark.req("R186")
@pytest.mark.parametrize("version", MESSAGES_VERSIONS)
def test_the_sdk_does_all_it_can(server: ChildServer, version: str) -> None:
    done = subprocess.run(
        [
            str(ROOT / ".clients" / version / "bin" / "python"),
            "tests/clients/anthropic_scenarios.py",
            server.url,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
