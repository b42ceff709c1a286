"""One process after the other: nothing is lost, and no client gets a false statement."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment

LONG = {"model": "slow", "input": " ".join(str(n) for n in range(400)), "stream": True}
PROGRAM = "from tailrace.cli import main; main()"


@pytest.fixture
def child(tmp_path: Path) -> Generator[ChildServer]:
    settings = f'data = "data"\nshutdown_seconds = {min(patient(1), 4)}'  # the long run takes eight
    server = ChildServer(tmp_path, server=settings).start()
    yield server
    server.kill()


def state(server: ChildServer) -> tuple[int, str]:
    reply = httpx.get(server.url + "/readyz", timeout=10)
    return reply.status_code, str(reply.json()["status"])


def until(true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        select_a_moment()
    raise AssertionError("it does not come true")


def rest(pieces: Iterator[bytes]) -> bytes:
    """The rest of a stream that is cut."""
    got = b""
    try:
        for piece in pieces:
            got += piece
    except httpx.RemoteProtocolError:
        return got
    raise AssertionError("it ended as if that were all")


def gets(server: ChildServer, **params: Any) -> bytes:
    """The complete stream of a response."""
    return httpx.get(
        server.url + "/v1/responses/" + params.pop("id"), params=params, timeout=30
    ).read()


def test_a_server_reports_its_health_without_a_key(child: ChildServer) -> None:
    assert state(child) == (200, "ready")
    alive = httpx.get(child.url + "/healthz")
    told = alive.json()
    assert told.pop("loop_lag_ms") < 10_000
    assert (alive.status_code, told) == (200, {"status": "alive", "runs": 0})


def test_a_stop_refuses_new_runs_serves_the_rest_and_loses_nothing(child: ChildServer) -> None:
    seen = b""
    with httpx.Client(base_url=child.url, timeout=20) as beside:
        old = beside.post("/v1/responses", json={"model": "echo", "input": "x"}).json()["id"]
        with httpx.stream("POST", child.url + "/v1/responses", json=LONG, timeout=20) as stream:
            id = stream.headers["x-run-id"].replace("run_", "resp_")
            assert child.process is not None
            pieces = stream.iter_raw()
            seen += next(pieces)
            child.process.send_signal(signal.SIGTERM)
            until(lambda: state(child) == (503, "draining"))
            refused = httpx.post(child.url + "/v1/responses", json=LONG)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert httpx.get(child.url + "/healthz").status_code == 200
            assert beside.get(f"/v1/responses/{old}").json()["status"] == "completed"
            seen += rest(pieces)
        child.process.wait(timeout=patient(30))
    assert seen.endswith(b"ask again for the rest\n")
    child.start()
    whole = gets(child, id=id, stream="true")
    frames = whole.split(b"\n\n")
    known = seen[: seen.rindex(b"\n\n") + 2].replace(b": ping\n", b"")
    last = known.count(b"\ndata: {") - 1
    assert known + gets(child, id=id, starting_after=last) == whole
    assert b"response.completed" in frames[-3]
    assert frames[-2:] == [b"data: [DONE]", b""]
    assert "Traceback" not in child.errors()


def test_the_next_process_waits_for_the_folder_and_takes_the_runs_over(
    child: ChildServer,
) -> None:
    job = httpx.post(child.url + "/jobs", json={"agent": "slow", "input": LONG["input"]}).json()[
        "id"
    ]
    second = ChildServer(child.folder, server='data = "data"\nshutdown_seconds = 1')
    second.start()  # it replies, although another process still holds the folder
    try:
        assert state(second) == (503, "starting")
        assert httpx.get(second.url + "/healthz").status_code == 200
        refused = httpx.get(f"{second.url}/jobs/{job}")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "Traceback" not in second.errors()
        child.stop()
        until(lambda: state(second) == (200, "ready"))
        whole = httpx.get(f"{second.url}/jobs/{job}/stream", timeout=30).text
        assert "run.attempt" in whole
        assert "run.completed" in whole
    finally:
        second.stop()
    assert "Traceback" not in child.errors()


def test_a_stop_while_it_waits(child: ChildServer) -> None:
    second = ChildServer(child.folder, server='data = "data"').start()
    assert second.stop() in (0, -15)
    assert state(child) == (200, "ready")
    assert "Traceback" not in child.errors()


@pytest.mark.parametrize("broken", ["no database", "a file in its place"])
def test_a_folder_that_cannot_be_used_is_one_message(tmp_path: Path, broken: str) -> None:
    child = ChildServer(tmp_path, server='data = "data"')
    if broken == "no database":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "tailrace.db").write_bytes(b"x" * 10_000)
    else:
        (tmp_path / "data").write_text("x")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "serve",
            str(child.folder / "tailrace.toml"),
            "--port",
            "0",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("tailrace: /")]
    assert str(tmp_path / "data") in message
    assert "Traceback" not in done.stderr
