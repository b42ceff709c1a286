"""Model servers that never end, before a real server: whatever they send without end, the run ends as
incomplete, the output so far is kept, and memory, the event loop and a cancel behave as usual."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support import clusters
from tests.support.endless import FLOODS, endless
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.patience import patient
from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{{server}}

[limits.reply]
bytes = 8000000
events = 20000
text_bytes = 2000000

[limits.run]
bytes = 16000000

[limits]
document_bytes = 400000

[models.up]
dialect = "chat"
base_url = "{url}"
model = "m"
retries = 0

[models.echo]
dialect = "echo"
"""
LOOSE = """
[limits.reply]
bytes = 0
events = 0
text_bytes = 0

[limits.run]
events = 0
bytes = 0
open_bytes = 0
"""
MEMORY = 120_000_000
"""How much the memory of the process may grow after its start: a few times the size of a reply."""
LOOP_SECONDS = 1.5
"""Of the server's own CPU while one request waits: 0.2 measured, and it was 12 and more before. Seconds of
the clock would also count the other programs of a busy machine."""


@pytest.fixture(scope="module")
def upstream() -> Generator[str]:
    with endless() as url:
        yield url


def serve(folder: Path, config: str) -> ChildServer:
    return ChildServer(folder, config=config).start()


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    child = serve(tmp_path_factory.mktemp("server"), CONFIG.format(url=upstream))
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


def without_bounds(url: str) -> str:
    start, _, rest = CONFIG.format(url=url).partition("[limits.reply]")
    return f"{start}{LOOSE}\n[models.up]{rest.partition('[models.up]')[2]}"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("nats", marks=pytest.mark.long)])
def loose(
    request: pytest.FixtureRequest, upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[ChildServer]:
    config = without_bounds(upstream)
    with ExitStack() as stack:
        if request.param == "nats":
            nodes = stack.enter_context(nats_cluster(tmp_path_factory.mktemp("nats"), 1))
            places = asyncio.run(clusters.config(nodes, ""))
            config = places + config.replace('[server]\ndata = "data"\n{server}\n', "", 1)
        child = serve(tmp_path_factory.mktemp("loose"), config)
        stack.callback(child.kill)
        yield child


def memory(server: ChildServer) -> int:
    """The resident memory of a process, in bytes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def cpu_seconds(server: ChildServer) -> float:
    """The CPU time that a process has used, in user and system mode (proc_pid_stat(5), fields 14 and 15)."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def begin(server: ChildServer, said: str) -> str:
    asked = {"agent": "up", "input": said}
    return str(httpx.post(f"{server.url}/jobs", json=asked, timeout=30).json()["id"])


def status(server: ChildServer, job: str) -> str:
    jobs = httpx.get(f"{server.url}/jobs", timeout=30).json()["data"]
    return next(str(each["status"]) for each in jobs if each["id"] == job)


class Watch:
    """Probes a server repeatedly: the largest memory, and the most CPU that it used while one probe
    waited."""

    def __init__(self, server: ChildServer) -> None:
        self.start = self.peak = memory(server)
        self.wait = 0.0
        self._server = server

    def look(self) -> None:
        before = cpu_seconds(self._server)
        assert httpx.get(f"{self._server.url}/healthz", timeout=30).status_code == 200
        self.wait = max(self.wait, cpu_seconds(self._server) - before)
        self.peak = max(self.peak, memory(self._server))


def watched(server: ChildServer, job: str) -> Watch:
    """Wait for a run's end."""
    watch = Watch(server)
    deadline = time.monotonic() + patient(60)
    while status(server, job) == "in_progress":
        assert time.monotonic() < deadline, "the run goes on for ever"
        watch.look()
    return watch


END = {
    "br": ("failed", "'br'"),
    "two codings": ("failed", "'gzip, gzip'"),
    "gzip bomb": ("failed", "200 times"),
    "interim replies": ("failed", "ClientPayloadError"),
    "deflate bomb": ("failed", "200 times"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_reply_without_end_ends_the_run(server: ChildServer, flood: str) -> None:
    job = begin(server, flood)
    watch = watched(server, job)
    assert watch.peak - watch.start < MEMORY
    assert watch.wait < LOOP_SECONDS
    how, why = END.get(flood, ("incomplete", "max_"))
    assert status(server, job) == how
    said = httpx.get(f"{server.url}/jobs/{job}/stream", timeout=60).text.splitlines()[-2]
    assert f"run.{how}" in said
    assert why in said


def test_output_before_the_limit_is_kept(server: ChildServer) -> None:
    job = begin(server, "text")
    watched(server, job)
    with httpx.stream("GET", f"{server.url}/jobs/{job}/stream", timeout=60) as reply:
        lines = sum("text.delta" in line for line in reply.iter_lines())
    assert 19_000 < lines <= 20_000


@pytest.mark.parametrize(
    ("path", "page"),
    [("/jobs/{}", "/jobs/{}/stream?after=3"), ("/v1/responses/{}", "/v1/responses/{}?stream=true")],
)
def test_a_run_too_large_for_a_document_is_413_with_the_way_to_page(
    server: ChildServer, path: str, page: str
) -> None:
    job = begin(server, "text")
    watched(server, job)
    id = job.replace("job_", "resp_") if "responses" in path else job
    reply = httpx.get(server.url + path.format(id), timeout=60)
    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "document_too_large"
    assert page.format(id).partition("?")[0] in reply.json()["error"]["message"]
    with httpx.stream("GET", server.url + page.format(id), timeout=60) as stream:
        assert next(stream.iter_lines())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_a_wait_for_a_document_that_is_too_large_is_413(server: ChildServer, path: str) -> None:
    said = [{"role": "user", "content": "text"}]
    asked = {"model": "up", "max_tokens": 9}
    asked |= {"input": "text"} if path.endswith("responses") else {"messages": said}
    headers = {"anthropic-version": "2023-06-01"}
    reply = httpx.post(server.url + path, json=asked, headers=headers, timeout=60)
    assert reply.status_code == 413
    assert "/stream" in reply.json()["error"]["message"]


def test_without_bounds_it_costs_no_memory_and_is_cancelled_within_a_second(
    loose: ChildServer,
) -> None:
    """Back-pressure reaches the socket of the model server, with and without readers."""
    job = begin(loose, "comments")
    text = begin(loose, "text")
    until = time.monotonic() + 6
    watch = Watch(loose)

    def read() -> None:
        with httpx.stream("GET", f"{loose.url}/jobs/{text}/stream", timeout=60) as reply:
            for _ in reply.iter_raw():
                if time.monotonic() > until:
                    break

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    while time.monotonic() < until:
        watch.look()
    for reader in readers:
        reader.join()
    assert watch.peak - watch.start < MEMORY
    for each in (job, text):
        before = time.monotonic()
        reply = httpx.post(f"{loose.url}/jobs/{each}/cancel", timeout=30)
        assert time.monotonic() - before < patient(LOOP_SECONDS)
        assert reply.status_code == 200
        assert reply.json()["status"] == "cancelled"


def test_a_server_that_stops_lets_go_of_it(upstream: str, tmp_path: Path) -> None:
    config = without_bounds(upstream).replace("[server]", "[server]\nshutdown_seconds = 1", 1)
    server = serve(tmp_path, config)
    begin(server, "text")
    begin(server, "comments")
    before = time.monotonic()
    server.stop()
    assert time.monotonic() - before < patient(1 + 3)


def test_time_that_is_over_ends_it(upstream: str, tmp_path: Path) -> None:
    config = without_bounds(upstream)
    config += '\n[agents.writer]\nmodel = "up"\nmax_seconds = 1\n'
    server = serve(tmp_path, config)
    asked = {"agent": "writer", "input": "text"}
    job = str(httpx.post(f"{server.url}/jobs", json=asked, timeout=30).json()["id"])
    before = time.monotonic()
    watched(server, job)
    assert time.monotonic() - before < patient(3)
    assert status(server, job) == "incomplete"
    server.kill()
