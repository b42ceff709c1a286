"""Agents that block the event loop of a server, or end its process: their runs fail, others continue."""

from __future__ import annotations

import signal
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.support import blockers
from tests.support.blockers import BLOCKING, begun, ended, start, until_begun
from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment

SOON = """
from tailrace.assembly import instance as assembly
from tailrace.cli import main

assembly._block_seconds = lambda *_, **__: 1.5
main()
"""
"""A server whose runs may block the loop for a moment only; as in a cluster with a lease of 3 s."""

STUCK = "The run was stopped: 3 attempts in a row were cut off before the agent got any further."


@pytest.fixture
def server(tmp_path: Path) -> Generator[ChildServer, None, None]:
    folder = tmp_path / "server"
    folder.mkdir()
    made = ChildServer(
        folder, config=blockers.CONFIG, tools=blockers.AGENTS, scenario=blockers.SCENARIO
    )
    yield made
    made.kill()


def lag(server: ChildServer) -> int:
    return int(httpx.get(f"{server.url}/healthz", timeout=30).json()["loop_lag_ms"])


@pytest.mark.parametrize("agent", BLOCKING)
def test_a_run_that_blocks_the_event_loop_fails_and_others_continue(
    server: ChildServer, agent: str
) -> None:
    server.start(program=SOON)
    other = start(server, "counts")
    run = start(server, agent)
    found = ended(server, run)
    assert found["status"] == "failed"
    assert found["error"]["message"] == "The agent blocked its worker for more than 1.5 s."
    assert lag(server) > 1000
    assert ended(server, other)["status"] == "completed"
    said = server.errors()
    assert f"the event loop is blocked by run {run.removeprefix('job_')}" in said
    line = {"spins": "in spins", "backtracks": "re.match("}.get(agent, "time.sleep(3600)")
    assert line in said, "the stack"
    assert begun(server) == ["counts", agent]


def test_a_server_that_has_nothing_to_do_is_not_late(server: ChildServer) -> None:
    server.start()
    assert lag(server) < 1000
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    signal.sigtimedwait([], 3.0)
    server.process.send_signal(signal.SIGCONT)
    run = start(server, "counts")
    assert ended(server, run)["status"] == "completed"
    assert "is held" not in server.errors(), "it was stopped, and nobody held it"


def test_a_server_stops_while_its_loop_is_held(server: ChildServer) -> None:
    server.start(program=SOON)
    run = start(server, "sleeps")
    until_begun(server, 1)
    server.stop()
    server.start(program=SOON)
    assert ended(server, run)["error"]["message"].startswith("The agent blocked its worker")


@pytest.mark.parametrize("agent", ["computes", "swallows_all"])
def test_what_no_exception_ends_ends_the_process(server: ChildServer, agent: str) -> None:
    """Code in C that does not return, so that no signal handler runs; or code that catches every
    exception."""
    server.start(program="import tailrace.http.watchdog as w; w.DEADLY_SECONDS = 3.0\n" + SOON)
    start(server, agent)
    assert server.process is not None
    server.process.wait(timeout=patient(30))
    assert "Current thread" in server.errors()


def test_a_run_that_kills_its_server_each_time_is_stopped(server: ChildServer) -> None:
    server.start()
    run = start(server, "dawdles")
    for time in range(1, 4):
        until_begun(server, 2 * time)
        server.kill()
        server.start()
    assert ended(server, run)["error"]["message"] == STUCK
    assert len(begun(server)) == 6, "three attempts, and no more"


def test_a_run_that_ends_the_process_is_stopped_and_others_are_not(server: ChildServer) -> None:
    """The other runs make no durable progress before they are complete, and are not blamed for that."""
    server.start()
    others = [start(server, "counts") for _ in range(2)]
    run = start(server, "exits")
    others += [start(server, "counts")]
    blockers.let_exit(server)
    for _ in range(8):
        if alive(server, run):
            break
        server.start(doomed=True)
    assert ended(server, run)["error"]["message"] == STUCK
    assert [ended(server, other)["status"] for other in others] == ["completed"] * 3
    assert begun(server).count("exits") == 3


def alive(server: ChildServer, run: str) -> bool:
    """Whether the server outlives a run."""
    assert server.process is not None
    while server.process.poll() is None:
        try:
            if blockers.job(server, run)["status"] != "in_progress":
                return True
        except httpx.HTTPError:
            pass
        select_a_moment()
    return False
