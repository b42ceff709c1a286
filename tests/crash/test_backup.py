"""An old backup is restored while clients continue to send requests (ADR 0015).

Runs in the backup are served unchanged. Later runs are gone, and the server says so. No content of another
run appears under an old id.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.test_deploy import until
from tests.support import clusters
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import CONFIG, ChildServer

TALK = "a talk"
Copy = Callable[[ChildServer, Path], None]


def asked(child: ChildServer, text: str, **more: Any) -> dict[str, Any]:
    body = {"model": "echo", "input": text, **more}
    found = httpx.post(f"{child.url}/v1/responses", json=body, timeout=30)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def shown(child: ChildServer, path: str) -> tuple[int, str]:
    found = httpx.get(child.url + path, timeout=30)
    return found.status_code, found.text


def said(child: ChildServer, text: str) -> str:
    """Send a turn of the session; return its run."""
    body = {"message": text, "sessionId": TALK, "agentId": "echo"}
    reply = httpx.post(f"{child.url}/api/stream", json=body, timeout=30)
    assert reply.status_code == 200
    return reply.headers["x-run-id"]


class Before:
    """What clients know from before the backup, and from the time after it, which the backup does not
    contain."""

    def __init__(self, child: ChildServer) -> None:
        self.old = asked(child, "kept in the backup")["id"]
        self.whole = shown(child, f"/v1/responses/{self.old}?stream=true")
        said(child, "first")

    def go_on(self, child: ChildServer) -> None:
        """Clients work after the backup was made."""
        self.new = asked(child, "not in the backup")["id"]
        self.told = asked(child, "told", previous_response_id=self.old)["id"]
        said(child, "second")
        key = {"idempotency-key": "once"}
        body = {"agent": "echo", "input": "effect"}
        self.job = httpx.post(f"{child.url}/jobs", json=body, headers=key, timeout=30).json()["id"]
        until(lambda: "completed" in shown(child, f"/jobs/{self.job}")[1])

    def check(self, child: ChildServer) -> None:
        """Check what clients get after the backup was restored."""
        assert shown(child, f"/v1/responses/{self.old}?stream=true") == self.whole
        last = self.whole[1].count("\nevent: ") + self.whole[1].startswith("event: ")
        far = shown(child, f"/v1/responses/{self.old}?stream=true&starting_after={last + 50}")
        assert far[0] == 400, far
        assert "starting_after" in far[1]
        for gone in (self.new, self.told):
            for query in ("", "?stream=true", "?stream=true&starting_after=3"):
                status, text = shown(child, f"/v1/responses/{gone}{query}")
                assert (status, gone in text) == (404, True), text
        for path in (f"/jobs/{self.job}", f"/jobs/{self.job}/stream?after=2"):
            assert shown(child, path)[0] == 404
        after = {"model": "echo", "input": "x", "previous_response_id": self.told}
        refused = httpx.post(f"{child.url}/v1/responses", json=after, timeout=30)
        assert refused.status_code in (400, 404)
        assert self.told in refused.text
        self._afterwards(child)

    def _afterwards(self, child: ChildServer) -> None:
        """A session continues after the turn that the backup has; a key that the backup does not have
        starts a new run."""
        lines = shown(child, f"/api/stream/{TALK}?after=200")
        assert lines[0] == 400, lines
        assert "first" in shown(child, f"/api/stream/{TALK}")[1]
        said(child, "third")
        body = {"agent": "echo", "input": "effect"}
        key = {"idempotency-key": "once"}
        again = httpx.post(f"{child.url}/jobs", json=body, headers=key, timeout=30).json()["id"]
        assert again not in (self.job, self.new, self.told, self.old)
        until(lambda: "completed" in shown(child, f"/jobs/{again}")[1])
        assert "Traceback" not in child.errors()


def stopped(child: ChildServer, backup: Path) -> None:
    """A folder whose server does not run."""
    child.stop()
    shutil.copytree(child.folder / "data", backup)
    child.start()


def running(child: ChildServer, backup: Path) -> None:
    """SQLite's own online backup, as `sqlite3 tailrace.db '.backup …'` makes it."""
    backup.mkdir()
    source = f"file:{child.folder / 'data' / 'tailrace.db'}?mode=ro"
    with (
        closing(sqlite3.connect(source, uri=True)) as live,
        closing(sqlite3.connect(backup / "tailrace.db")) as copy,
    ):
        live.backup(copy)


@pytest.mark.parametrize("copy", [stopped, running])
def test_a_folder_that_was_put_back(tmp_path: Path, copy: Copy) -> None:
    child = ChildServer(tmp_path, server='data = "data"').start()
    try:
        before = Before(child)
        copy(child, tmp_path / "backup")
        before.go_on(child)
        child.kill()
        shutil.rmtree(tmp_path / "data")
        shutil.copytree(tmp_path / "backup", tmp_path / "data")
        child.start()
        before.check(child)
    finally:
        child.kill()


@pytest.mark.timeout(120)
def test_nats_servers_with_restored_disks(tmp_path: Path) -> None:
    """All processes are stopped before: a process remembers its positions in the streams."""
    nats = tmp_path / "nats"
    with nats_cluster(nats, 1) as (node,):
        config = asyncio.run(clusters.config([node], CONFIG))
        child = ChildServer(tmp_path, config=config).start()
        try:
            before = Before(child)
            node.stop()
            shutil.copytree(nats / "n0", tmp_path / "backup")
            node.start()
            before.go_on(child)
            child.stop()
            node.stop()
            shutil.rmtree(nats / "n0")
            shutil.copytree(tmp_path / "backup", nats / "n0")
            node.start()
            child.start()
            before.check(child)
        finally:
            child.kill()
