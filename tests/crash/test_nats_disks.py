"""A full disk under NATS servers: a single one goes unnoticed; if all are full, new runs are refused.

Each case heals when the servers restart after there is space again (a server that cannot write disables
JetStream until then).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.crash.test_faults import filesystem
from tests.crash.test_outages import begin, completes, status
from tests.http.test_deploy import state, until
from tests.support import clusters
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.patience import patient
from tests.support.servers import CONFIG, ChildServer

SIZE = "24m"


@contextmanager
def small_disks(folder: Path, numbers: Sequence[int]) -> Generator[list[Path], None, None]:
    """Small filesystems on which some of the servers keep their streams."""
    folder.mkdir()
    with ExitStack() as life:
        disks = [folder / f"n{number}" for number in numbers]
        for disk in disks:
            life.enter_context(filesystem(disk, SIZE))
        yield disks


def fill(disk: Path) -> None:
    try:
        with (disk / "ballast").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
    except OSError:
        pass


def restart(node: Node, disk: Path) -> None:
    (disk / "ballast").unlink()
    node.stop()
    node.start()


def engine_check(child: ChildServer, nodes: Sequence[Node]) -> str:
    """The output of `tailrace engine check`."""
    program = [sys.executable, "-c", "from tailrace.cli import main; main()", "engine", "check"]
    monitors = [word for node in nodes for word in ("--monitor", node.monitoring)]
    command = [*program, str(child.folder / "tailrace.toml"), *monitors]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def post(child: ChildServer) -> httpx.Response:
    body = {"model": "echo", "input": "one two"}
    return httpx.post(f"{child.url}/v1/responses", json=body, timeout=patient(60))


@pytest.mark.long
@pytest.mark.timeout(180)
def test_one_full_disk_of_three(tmp_path: Path) -> None:
    with (
        small_disks(tmp_path / "nats", [2]) as (disk,),
        nats_cluster(tmp_path / "nats", 3) as nodes,
    ):
        config = asyncio.run(clusters.config(nodes, CONFIG))
        child = ChildServer(tmp_path, config=config).start()
        try:
            run = begin(child)
            fill(disk)
            completes(child, run)
            until(lambda: "n2 has no JetStream: " in engine_check(child, nodes))
            assert post(child).json()["status"] == "completed"
            restart(nodes[2], disk)
            until(lambda: "fine" in engine_check(child, nodes))
            assert post(child).json()["status"] == "completed"
        finally:
            child.kill()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_all_disks_full(tmp_path: Path) -> None:
    with (
        small_disks(tmp_path / "nats", range(3)) as disks,
        nats_cluster(tmp_path / "nats", 3) as nodes,
    ):
        config = asyncio.run(clusters.config(nodes, CONFIG))
        child = ChildServer(tmp_path, config=config).start()
        try:
            run = begin(child)
            for disk in disks:
                fill(disk)
            # The servers notice it at a write that needs a new block: a run may still begin before that.
            until(lambda: state(child) == (503, "the store cannot be written"))
            refused = post(child)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert state(child) == (503, "the store cannot be written")
            for node, disk in zip(nodes, disks, strict=True):
                restart(node, disk)
            until(lambda: state(child)[0] == 200)
            until(lambda: status(child, run) == "completed")
            assert post(child).json()["status"] == "completed"
        finally:
            child.kill()
