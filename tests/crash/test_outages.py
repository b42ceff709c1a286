"""An outage with a restart during it: afterwards running work continues or is cancelled (issue 13, 7)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.test_faults import LONG, _filled, filesystem
from tests.http.test_deploy import until
from tests.support import clusters
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import CONFIG, ChildServer

WORDS = 150


def begin(child: ChildServer) -> str:
    """Start a run that takes three seconds; return when its first words are durable."""
    made: dict[str, Any] = httpx.post(child.url + "/v1/responses", json=LONG, timeout=20).json()
    run = str(made["id"])
    with httpx.stream("GET", f"{child.url}/v1/responses/{run}?stream=true", timeout=20) as reply:
        for line in reply.iter_lines():
            if "output_text.delta" in line:
                break
    return run


def status(child: ChildServer, run: str) -> str:
    try:
        found: dict[str, Any] = httpx.get(f"{child.url}/v1/responses/{run}", timeout=20).json()
    except httpx.HTTPError:
        return ""
    return str(found.get("status"))


def completes(child: ChildServer, run: str) -> None:
    """The run continues without a request, and its answer is complete."""
    until(lambda: status(child, run) == "completed")
    found = httpx.get(f"{child.url}/v1/responses/{run}", timeout=20).json()
    text = found["output"][-1]["content"][0]["text"]
    assert len(text.split()) == WORDS


@pytest.mark.timeout(120)
def test_a_full_disk_with_a_restart(tmp_path: Path) -> None:
    with filesystem(tmp_path / "disk"):
        child = ChildServer(tmp_path, server='data = "disk/data"\nshutdown_seconds = 0.1').start()
        try:
            runs = [begin(child) for _ in range(3)]
            with _filled(tmp_path / "disk" / "ballast"):
                child.kill()
                child.start()
                until(lambda: "cannot be taken over yet" in child.errors())
                for run in runs:
                    assert status(child, run) == "in_progress"
                refused = httpx.post(f"{child.url}/v1/responses/{runs[0]}/cancel", timeout=20)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert "Traceback" not in child.errors()
            gone = httpx.post(f"{child.url}/v1/responses/{runs[0]}/cancel", timeout=20)
            assert (gone.status_code, gone.json()["status"]) == (200, "cancelled")
            for run in runs[1:]:
                completes(child, run)
            assert status(child, runs[0]) == "cancelled"
        finally:
            child.kill()


@contextmanager
def read_only(disk: Path) -> Generator[None]:
    """Make a filesystem read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@pytest.mark.timeout(120)
def test_a_read_only_disk_with_a_restart(tmp_path: Path) -> None:
    with filesystem(tmp_path / "disk"):
        child = ChildServer(tmp_path, server='data = "disk/data"\nshutdown_seconds = 0.1').start()
        try:
            run = begin(child)
            child.kill()
            with (
                read_only(tmp_path / "disk"),
                pytest.raises(AssertionError, match=r"[Rr]ead-?only"),
            ):
                child.start()
            child.start()
            completes(child, run)
        finally:
            child.kill()


@pytest.mark.timeout(120)
def test_a_lost_engine_with_a_restart(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    with nats_cluster(tmp_path / "nats", 1) as (node,):
        config = asyncio.run(clusters.config([node], CONFIG))
        child = ChildServer(tmp_path, config=config).start()
        try:
            run = begin(child)
            node.send(signal.SIGKILL)
            child.kill()
            child.start()
            assert httpx.get(child.url + "/readyz").status_code == 503
            node.start()
            completes(child, run)
        finally:
            child.kill()
