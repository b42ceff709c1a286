"""kill -9 while a run is deleted: the repeated request reports that the run is gone, and no part of it
remains.

No client and no check of the disk takes the remains of a crash for damage.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.crash.test_turns import CONFIG, killer
from tests.support.crashes import sampled
from tests.support.forks import Forks
from tests.support.patience import patient
from tests.support.servers import ChildServer


def _until_answered(server: ChildServer, forks: Forks, method: str, path: str) -> int:
    while True:
        try:
            return httpx.request(method, server.url + path, timeout=20).status_code
        except httpx.HTTPError:
            assert server.process is not None
            server.process.wait(timeout=patient(10))
            server.start(forks=forks)


@pytest.mark.parametrize(("number", "side"), sampled([*product(range(1, 9), ("before", "after"))]))
def test_a_deleted_run_is_gone(tmp_path: Path, forks: Forks, number: int, side: str) -> None:
    server = ChildServer(tmp_path, config=CONFIG).start(forks=forks)
    try:
        body = {"model": "echo", "input": "hello"}
        id = httpx.post(server.url + "/v1/responses", json=body, timeout=20).json()["id"]
        server.kill()
        server.start(program=killer(number, side), doomed=True, forks=forks)
        path = f"/v1/responses/{id}"
        assert _until_answered(server, forks, "DELETE", path) in (200, 404, 410)
        assert _until_answered(server, forks, "GET", path) in (404, 410)
        assert _until_answered(server, forks, "DELETE", path) in (404, 410)
    finally:
        server.kill()
    command = [sys.executable, "-m", "tailrace", "check", str(tmp_path / "tailrace.toml"), "--data"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_with_a_damaged_log_can_be_deleted(tmp_path: Path, forks: Forks) -> None:
    server = ChildServer(tmp_path, config=CONFIG).start(forks=forks)
    try:
        body = {"model": "echo", "input": "hello"}
        id = httpx.post(server.url + "/v1/responses", json=body, timeout=20).json()["id"]
        server.stop()
        with closing(sqlite3.connect(tmp_path / "tailrace-data" / "tailrace.db")) as database:
            assert database.execute("UPDATE chunks SET body = zeroblob(9)").rowcount
            database.commit()
        server.start(forks=forks)
        path = f"/v1/responses/{id}"
        assert _until_answered(server, forks, "GET", path) == 503
        assert _until_answered(server, forks, "DELETE", path) == 200
        assert _until_answered(server, forks, "GET", path) == 404
    finally:
        server.kill()
