"""Faults of the machine under a server: a full disk, no file descriptors, a corrupt page, a clock that
jumps.

Each fault is applied to a running process (a process's limits can be set from outside) and removed again.
During the fault clients get an error, earlier replies to clients stay true, and after it the server works
again without a restart.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.test_deploy import state, until
from tests.support.servers import ChildServer

SERVER = 'data = "data"\nshutdown_seconds = 0.1'
ASKED = {"model": "echo", "input": "one two three"}
LONG = {"model": "slow", "input": " ".join(str(n) for n in range(150)), "background": True}


@pytest.fixture
def child(tmp_path: Path) -> Generator[ChildServer]:
    server = ChildServer(tmp_path, server=SERVER).start()
    yield server
    server.kill()


@contextmanager
def limited(child: ChildServer, what: int, most: int) -> Generator[None]:
    """Limit the process to `most` of a resource."""
    assert child.process is not None
    pid = child.process.pid
    before = resource.prlimit(pid, what, (most, resource.prlimit(pid, what)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


@contextmanager
def filesystem(folder: Path, size: str = "8m", *options: str) -> Generator[None]:
    """A small filesystem of its own, if the machine permits one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("this machine mounts nothing for us")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def ask(child: ChildServer, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(child.url + "/v1/responses", json=body, timeout=30)


def response(child: ChildServer, id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{child.url}/v1/responses/{id}", timeout=30).json()
    return found


def no_lie_and_a_recovery(child: ChildServer, full: Any) -> None:
    """While `full` is active the server cannot write, and clients get an error; afterwards everything
    continues."""
    before = ask(child, ASKED).json()
    running = ask(child, LONG).json()
    with full:
        until(lambda: state(child) == (503, "the store cannot be written"))
        assert httpx.get(child.url + "/healthz").status_code == 200
        refused = ask(child, ASKED)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert response(child, before["id"])["output"] == before["output"]
        assert response(child, running["id"])["status"] == "in_progress"
        seen = httpx.get(f"{child.url}/jobs").json()["data"]
    until(lambda: state(child) == (200, "ready"))
    assert ask(child, ASKED).json()["status"] == "completed"
    until(lambda: response(child, running["id"])["status"] == "completed")
    assert response(child, before["id"])["output"] == before["output"]
    made = {id.replace("resp_", "job_") for id in (before["id"], running["id"])}
    assert {job["id"] for job in seen} == made, "a run that was refused does not exist"
    text = response(child, running["id"])["output"][-1]["content"][0]["text"]
    assert text.startswith("0 1 2 ")
    assert text.endswith("148 149")
    child.kill()
    child.start()
    assert response(child, before["id"])["output"] == before["output"]
    assert response(child, running["id"])["output"][-1]["content"][0]["text"] == text


@pytest.mark.timeout(120)
def test_a_process_that_may_write_no_more(child: ChildServer) -> None:
    size = (child.folder / "data" / "tailrace.db-wal").stat().st_size
    no_lie_and_a_recovery(child, limited(child, resource.RLIMIT_FSIZE, size))


@pytest.mark.timeout(120)
def test_a_full_disk(tmp_path: Path) -> None:
    with filesystem(tmp_path / "disk"):
        child = ChildServer(tmp_path, server='data = "disk/data"\nshutdown_seconds = 0.1').start()
        try:
            no_lie_and_a_recovery(child, _filled(tmp_path / "disk" / "ballast"))
        finally:
            child.kill()


@contextmanager
def _filled(ballast: Path) -> Generator[None]:
    """A file takes all the free space."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    try:
        yield
    finally:
        ballast.unlink()


def test_a_read_only_disk_is_one_message(tmp_path: Path) -> None:
    with filesystem(tmp_path / "disk", "1m", "ro"):
        child = ChildServer(tmp_path, server='data = "disk/data"')
        with pytest.raises(AssertionError, match="Read-only"):
            child.start()
        assert "Traceback" not in child.errors()


def test_no_descriptors_left(child: ChildServer) -> None:
    """A connected client is served; a client that connects now waits, and is served when a descriptor is
    free."""
    made = ask(child, ASKED).json()
    assert child.process is not None
    with httpx.Client(base_url=child.url, timeout=5) as old, ExitStack() as crowd:
        assert old.get("/healthz").status_code == 200
        highest = max(map(int, os.listdir(f"/proc/{child.process.pid}/fd")))
        with limited(child, resource.RLIMIT_NOFILE, highest + 2):
            for _ in range(10):
                crowd.enter_context(socket.create_connection(("127.0.0.1", child.port)))
            with pytest.raises(httpx.TransportError):
                httpx.get(child.url + "/healthz", timeout=1)
            kept = old.get(f"/v1/responses/{made['id']}")
            assert kept.json()["output"] == made["output"]
        until(lambda: _answers(child))
    assert state(child) == (200, "ready")
    assert ask(child, ASKED).json()["status"] == "completed"
    assert len(child.errors()) < 50_000, "and it does not say so for ever"


def _answers(child: ChildServer) -> bool:
    try:
        return httpx.get(child.url + "/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_a_corrupt_page_is_reported_and_the_rest_is_served(child: ChildServer) -> None:
    """While the server is stopped, the pages of one run's row are overwritten; the pages of other runs are
    not."""
    big = {"model": "echo", "input": "bad " * 5_000}
    bad = ask(child, big).json()["id"]
    good = ask(child, ASKED).json()
    child.stop()
    file = child.folder / "data" / "tailrace.db"
    data = bytearray(file.read_bytes())
    at = data.index(b"bad bad bad bad") // 4096 * 4096
    data[at : at + 4096] = os.urandom(4096)
    file.write_bytes(data)
    child.start()
    read = httpx.get(f"{child.url}/v1/responses/{bad}", timeout=30)
    assert read.status_code in (500, 503), read.text[:200]
    assert "bad bad" not in read.text
    assert response(child, good["id"])["output"] == good["output"]
    assert ask(child, ASKED).json()["status"] == "completed"


JUMPING = """
import time
from pathlib import Path

true, file = time.time_ns, Path("{clock}")
time.time_ns = lambda: true() + int(file.read_text() or 0) * 10**9
from tailrace.cli import main
main()
"""


@pytest.mark.parametrize("seconds", [-86_400 * 3, 3_600])
def test_a_clock_that_jumps(tmp_path: Path, seconds: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    child = ChildServer(tmp_path, server=SERVER).start(program=JUMPING.format(clock=clock))
    try:
        first = ask(child, ASKED).json()
        running = ask(child, {**LONG, "store": True}).json()
        clock.write_text(str(seconds))
        after = ask(child, {**ASKED, "previous_response_id": first["id"]}).json()
        assert after["status"] == "completed"
        until(lambda: response(child, running["id"])["status"] == "completed")
        stream = httpx.get(
            f"{child.url}/v1/responses/{running['id']}", params={"stream": "true"}, timeout=30
        ).text
        numbers = [int(part.split(",")[0]) for part in stream.split('"sequence_number":')[1:]]
        assert numbers == list(range(len(numbers)))
        child.kill()
        child.start(program=JUMPING.format(clock=clock))
        assert response(child, first["id"])["output"] == first["output"]
        assert len(httpx.get(child.url + "/jobs").json()["data"]) == 3
    finally:
        child.kill()
