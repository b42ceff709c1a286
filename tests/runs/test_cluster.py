"""Runs in a cluster of real processes: clients may use any process, and workers may die, freeze and
return."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import clusters
from tests.support.crashes import DONE, read
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import CONFIG, ChildServer, select_a_moment

SLOW = b'{"model": "slow", "input": "' + b"word " * 150 + b'", "stream": true}'
"""Three seconds of text."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@pytest.fixture
def processes(nodes: Sequence[Node], tmp_path: Path) -> Generator[clusters.Cluster, None, None]:
    config = asyncio.run(clusters.config(nodes, CONFIG + CAREFUL))
    with clusters.cluster(tmp_path, config) as made:
        yield made


CAREFUL = """
[agents.careful]
model = "steady"
tools = ["helper_tools:find", "helper_tools:order"]
approve = ["order"]
"""


class Reading(threading.Thread):
    """A client that reads a stream to its end."""

    def __init__(self, port: int, body: bytes) -> None:
        super().__init__()
        self.run_id = ""
        self.frames: list[bytes] = []
        self._port = port
        self._body = body
        self.start()

    def run(self) -> None:
        self.run_id, self.frames = read(self._port, "POST", "/v1/responses", self._body)


def deltas(frames: list[bytes]) -> int:
    return sum(b"output_text.delta" in frame for frame in frames)


def job(server: ChildServer, run: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/jobs/job_{run}", timeout=20).json()
    return found


def only_run(server: ChildServer) -> str:
    """The only run, as soon as its first words have arrived."""
    runs: list[dict[str, Any]] = []
    while not runs:
        runs = httpx.get(f"{server.url}/jobs", timeout=20).json()["data"]
    run = str(runs[0]["id"])
    with httpx.stream("GET", f"{server.url}/jobs/{run}/stream", timeout=20) as reply:
        for line in reply.iter_lines():
            if "text.delta" in line:
                break
    return run.removeprefix("job_")


def test_a_run_is_served_by_one_process_and_worked_on_by_another(
    processes: clusters.Cluster,
) -> None:
    one, other = processes.start("api"), processes.start("api")
    processes.start("worker")
    body = b'{"model": "echo", "input": "hello there you", "stream": true}'
    run, frames = read(one.port, "POST", "/v1/responses", body)
    assert frames[-1] == DONE
    _, again = read(other.port, "GET", f"/v1/responses/resp_{run}?stream=true")
    assert again == frames


@pytest.mark.req("R9")
def test_a_killed_workers_run_continues_in_another_worker(processes: clusters.Cluster) -> None:
    one, other = processes.start("api"), processes.start("api")
    first = processes.start("worker")
    reading = Reading(one.port, SLOW)
    run = only_run(other)
    second = processes.start("worker")
    first.kill()
    reading.join()
    assert second.process is not None
    assert reading.frames[-1] == DONE
    _, again = read(other.port, "GET", f"/v1/responses/resp_{run}?stream=true")
    assert again == reading.frames, "nobody sees anything else than who was there"
    assert job(other, run)["status"] == "completed"
    assert job(other, run)["output_text"].count("word") >= 150


def test_a_frozen_worker_cannot_write_when_it_wakes(processes: clusters.Cluster) -> None:
    api = processes.start("api")
    first = processes.start("worker")
    reading = Reading(api.port, SLOW)
    run = only_run(api)
    assert first.process is not None
    first.process.send_signal(signal.SIGSTOP)
    processes.start("worker")
    reading.join()
    first.process.send_signal(signal.SIGCONT)
    assert reading.frames[-1] == DONE
    assert first.stop() == -signal.SIGTERM, "an orderly end"
    _, again = read(api.port, "GET", f"/v1/responses/resp_{run}?stream=true")
    assert again == reading.frames
    native = httpx.get(f"{api.url}/jobs/job_{run}/stream", timeout=20).text
    assert native.count('"run.attempt"') == 1
    assert native.count('"run.completed"') == 1


def test_any_process_cancels(processes: clusters.Cluster) -> None:
    one, other = processes.start("api"), processes.start("api")
    processes.start("worker")
    reading = Reading(one.port, SLOW)
    run = only_run(other)
    assert httpx.post(f"{other.url}/jobs/job_{run}/cancel", timeout=20).status_code == 200
    reading.join()
    assert job(one, run)["status"] == "cancelled"
    assert deltas(reading.frames) < 150


def test_any_process_accepts_the_answer_to_a_pause_and_the_run_continues(
    processes: clusters.Cluster,
) -> None:
    one, other = processes.start("api"), processes.start("api")
    processes.start("worker")
    made = httpx.post(f"{one.url}/jobs", json={"agent": "careful", "input": "buy"}, timeout=20)
    run = made.json()["id"].removeprefix("job_")
    while not (asked := job(one, run)["waiting_for"]):
        select_a_moment()
    answer = {"item": asked[0]["item"], "approved": True}
    first = httpx.post(f"{other.url}/jobs/job_{run}/input", json=answer, timeout=20)
    again = httpx.post(f"{one.url}/jobs/job_{run}/input", json=answer, timeout=20)
    answer["approved"] = False
    other_answer = httpx.post(f"{one.url}/jobs/job_{run}/input", json=answer, timeout=20)
    statuses = (first.status_code, again.status_code, other_answer.status_code)
    assert statuses == (202, 202, 409)
    native = httpx.get(f"{one.url}/jobs/job_{run}/stream", timeout=20).text
    assert native.count('"run.completed"') == 1
    assert native.count('"run.attempt"') == 0, "the same worker goes on where it paused"
    assert job(other, run)["status"] == "completed"


def test_equal_requests_at_two_processes_start_one_run(processes: clusters.Cluster) -> None:
    servers = [processes.start("api") for _ in range(2)]
    processes.start("worker")
    body = {"model": "echo", "input": "hello", "background": True}
    for number in range(10):
        ids: list[str] = []

        def ask(url: str, key: str = f"key-{number}", ids: list[str] = ids) -> None:
            head = {"idempotency-key": key}
            made = httpx.post(f"{url}/v1/responses", json=body, headers=head, timeout=20)
            ids.append(made.json()["id"])

        asking = [threading.Thread(target=ask, args=(server.url,)) for server in servers * 5]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert len(set(ids)) == 1, ids


def test_a_run_without_a_worker_can_be_cancelled(processes: clusters.Cluster) -> None:
    api = processes.start("api")
    made = httpx.post(f"{api.url}/jobs", json={"agent": "echo", "input": "hello"}, timeout=20)
    run = made.json()["id"].removeprefix("job_")
    assert httpx.post(f"{api.url}/jobs/job_{run}/cancel", timeout=20).status_code == 200
    assert job(api, run)["status"] == "cancelled"
    processes.start("worker")  # it finds the offer, and has no work
    body = b'{"model": "echo", "input": "hello", "stream": true}'
    assert read(api.port, "POST", "/v1/responses", body)[1][-1] == DONE
    assert job(api, run)["status"] == "cancelled"


def test_a_worker_that_stops_in_order_hands_its_runs_over_at_once(
    processes: clusters.Cluster,
) -> None:
    api = processes.start("api")
    first = processes.start("worker")
    reading = Reading(api.port, SLOW)
    run = only_run(api)
    processes.start("worker")
    assert first.stop() == -signal.SIGTERM, "an orderly end"
    reading.join()
    assert reading.frames[-1] == DONE
    assert job(api, run)["status"] == "completed"


def test_a_process_that_starts_before_its_engine_reports_that(
    nodes: Sequence[Node], processes: clusters.Cluster
) -> None:
    nodes[0].send(signal.SIGSTOP)
    try:
        api = processes.start("api")
        assert httpx.get(f"{api.url}/healthz", timeout=20).status_code == 200
        ready = httpx.get(f"{api.url}/readyz", timeout=20)
        assert (ready.status_code, ready.json()) == (503, {"status": "starting"})
        refused = httpx.get(f"{api.url}/v1/models", timeout=20)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "The server starts" in refused.text
    finally:
        nodes[0].send(signal.SIGCONT)
    while httpx.get(f"{api.url}/readyz", timeout=20).status_code != 200:
        select_a_moment()
    assert "Traceback" not in api.errors()


LIMITED = (
    CONFIG
    + """
[limits.tenant]
concurrent_runs = 1
tokens_per_day = 400
"""
)


def test_limits_are_those_of_all_processes_together(nodes: Sequence[Node], tmp_path: Path) -> None:
    config = asyncio.run(clusters.config(nodes, LIMITED))
    with clusters.cluster(tmp_path, config) as processes:
        one, other = processes.start("api"), processes.start("api")
        worker = processes.start("worker")
        for server in (one, other):
            short = {"model": "echo", "input": "word"}
            made = httpx.post(f"{server.url}/v1/responses", json=short, timeout=20)
            assert made.status_code == 200, made.text
            place = f"{server.url}/v1/responses/{made.json()['id']}"
            assert httpx.delete(place, timeout=20).status_code == 200
        long = {"model": "slow", "input": "word " * 150, "background": True}
        echo = {"model": "echo", "input": "word " * 50}
        first = httpx.post(f"{one.url}/v1/responses", json=long, timeout=20)
        assert first.status_code == 200
        for server in (one, other):
            refused = httpx.post(f"{server.url}/v1/responses", json=echo, timeout=20)
            assert refused.status_code == 429
            assert "1 runs at once" in refused.json()["error"]["message"]
        processes.start("worker")
        worker.kill()
        run = first.headers["x-run-id"].removeprefix("run_")
        stream = httpx.get(f"{one.url}/v1/responses/resp_{run}?stream=true", timeout=30)
        assert "response.completed" in stream.text
        made = httpx.post(f"{other.url}/v1/responses", json=echo, timeout=20)
        assert made.status_code == 200, made.text
        for server in (one, other):
            spent = httpx.post(f"{server.url}/v1/responses", json=echo, timeout=20)
            assert spent.status_code == 429
            assert "tokens_per_day" in spent.json()["error"]["message"]


def test_turns_of_one_conversation_at_two_processes_see_each_other(
    processes: clusters.Cluster,
) -> None:
    servers = [processes.start("api") for _ in range(2)]
    processes.start("worker")
    for _ in range(5):
        made = httpx.post(f"{servers[0].url}/v1/conversations", json={}, timeout=20).json()["id"]
        runs: list[str] = []

        def turn(url: str, made: str = made, runs: list[str] = runs) -> None:
            body = {"model": "echo", "input": "hello", "conversation": made}
            reply = httpx.post(f"{url}/v1/responses", json=body, timeout=30)
            runs.append(reply.headers["x-run-id"].removeprefix("run_"))

        asking = [threading.Thread(target=turn, args=(server.url,)) for server in servers]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert sorted(before(servers[0], run) for run in runs) == [0, 2]


def before(server: ChildServer, run: str) -> int:
    """The number of items of earlier turns that a run received."""
    with httpx.stream("GET", f"{server.url}/jobs/job_{run}/stream", timeout=20) as reply:
        data = next(line for line in reply.iter_lines() if line.startswith("data: "))
    return len(json.loads(data[6:])["payload"]["request"].get("history", ()))
