"""kill -9 around an answer: a repeated answer is accepted once, and its author is shown the turn that it
began (issue 13, 8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.test_turns import killer
from tests.support import clusters
from tests.support.crashes import FULL, sampled
from tests.support.forks import Forks
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.patience import patient
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects

CONFIG = """
[server]
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"

[agents.payer]
model = "script"
tools = ["helper_tools:order"]
approve = ["order"]

[agents.asker]
model = "script"
ask_user = true
tools = ["helper_tools:order"]
"""
SCENARIO = """
[[replies]]
when = "buy"
steps = [{ call = "order", arguments = { what = "hat" } }]
[[replies]]
when = "buy"
steps = [{ text = "Bought." }]

[[replies]]
when = "ask"
steps = [{ call = "ask_user", arguments = { question = "Which?" } }]
[[replies]]
when = "ask"
steps = [{ call = "order", arguments = { what = "hat" } }]
[[replies]]
when = "ask"
steps = [{ text = "Bought." }]
"""
Sent = tuple[str, Any, dict[str, str]]


def native(url: str) -> tuple[str, Sent]:
    made = httpx.post(url + "/jobs", json={"agent": "payer", "input": "buy"}, timeout=20).json()
    job = _waiting(url, made["id"])
    answer = {"item": job["waiting_for"][0]["item"], "approved": True}
    return job["id"], (f"/jobs/{job['id']}/input", answer, {})


def responses(url: str) -> tuple[str, Sent]:
    body = {"model": "payer", "input": "buy"}
    first = httpx.post(url + "/v1/responses", json=body, timeout=20).json()
    asked = next(item for item in first["output"] if item["type"] == "mcp_approval_request")
    answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    again = {"model": "payer", "previous_response_id": first["id"], "input": [answer]}
    return _job(first["id"]), ("/v1/responses", again, {})


def ui(url: str) -> tuple[str, Sent]:
    part = {"type": "text", "text": "buy"}
    user = {"id": "m1", "role": "user", "parts": [part]}
    body = {"id": "chat", "agent": "payer", "messages": [user]}
    reply = httpx.post(url + "/api/chat", json=body, timeout=20)
    job = _job(reply.headers["x-run-id"])
    item = _waiting(url, job)["waiting_for"][0]["item"]
    approval = {"id": f"apr_{job.removeprefix('job_')}_{item}", "approved": True}
    assistant = {"id": "m2", "role": "assistant", "parts": []}
    answer = {**body, "messages": [user, assistant], "approvals": [approval]}
    return job, ("/api/chat", answer, {})


def agui(url: str) -> tuple[str, Sent]:
    user = {"id": "m1", "role": "user", "content": "buy"}
    body = {"threadId": "thread", "runId": "one", "messages": [user]}
    reply = httpx.post(url + "/agui/payer", json=body, timeout=20)
    job = _job(reply.headers["x-run-id"])
    item = _waiting(url, job)["waiting_for"][0]["item"]
    yes = {"interruptId": f"apr_{job.removeprefix('job_')}_{item}", "status": "resolved"}
    answer = {
        "threadId": "thread",
        "runId": "two",
        "messages": [user],
        "resume": [{**yes, "payload": {"approved": True}}],
    }
    return job, ("/agui/payer", answer, {})


def session(url: str) -> tuple[str, Sent]:
    """The agent asks a question, and the answer is an ordinary message: a key identifies its retry."""
    body = {"message": "ask", "sessionId": "talk", "agentId": "asker"}
    with httpx.stream("POST", url + "/api/stream", json=body, timeout=20) as reply:
        job = _job(reply.headers["x-run-id"])
        _waiting(url, job)
    answer = {**body, "message": "the red one"}
    return job, ("/api/stream", answer, {"idempotency-key": "answer"})


EDIT = '{"what":"ship"}'


def native_edit(url: str) -> tuple[str, Sent]:
    job, (path, answer, headers) = native(url)
    return job, (path, {**answer, "arguments": EDIT}, headers)


def responses_edit(url: str) -> tuple[str, Sent]:
    job, (path, body, headers) = responses(url)
    (answer,) = body["input"]
    return job, (path, {**body, "input": [{**answer, "arguments": EDIT}]}, headers)


SURFACES: dict[str, Callable[[str], tuple[str, Sent]]] = {
    "native": native,
    "responses": responses,
    "ui": ui,
    "ag-ui": agui,
    "session": session,
    "native, edit": native_edit,
    "responses, edit": responses_edit,
}


def _job(id: str) -> str:
    return f"job_{id.partition('_')[2].partition('_')[0]}"


def _waiting(url: str, job: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = httpx.get(f"{url}/jobs/{job}", timeout=20).json()
        if found["status"] == "waiting":
            return found


def answer_through(server: ChildServer, surface: str, forks: Forks, number: int, side: str) -> None:
    """Send an answer until its reply is complete, to a server that dies at that write after its start."""
    server.start(forks=forks)
    try:
        job, sent = SURFACES[surface](server.url)
        server.kill()
        server.start(program=killer(number, side), doomed=True, forks=forks)
        first = _until(server, sent, forks)
        shown: Sent = (f"/jobs/{job}", None, {})
        while _until(server, shown, forks).json()["status"] != "completed":
            select_a_moment()
        again = _until(server, sent, forks)
        if not surface.startswith(("native", "responses")):
            assert again.text == first.text, "all of what it began"
        assert "Bought." in again.text or surface.startswith("native")
        log = _until(server, (f"/jobs/{job}/stream", None, {}), forks).text
        assert log.count('"run.resumed"') == 1
        assert log.count('"run.completed"') == 1
        edited = surface.endswith(", edit")
        starts = [line for line in log.splitlines() if '"tool.started"' in line]
        assert all((json.dumps(EDIT) in line) == edited for line in starts), (
            "it runs as a person edited it"
        )
        assert effects(server.folder, "order") <= 1
    finally:
        server.kill()


def _until(server: ChildServer, sent: Sent, forks: Forks) -> httpx.Response:
    path, body, headers = sent
    method, url = "POST" if body else "GET", server.url + path
    while True:
        try:
            reply = httpx.request(method, url, json=body, headers=headers, timeout=20)
        except httpx.HTTPError:
            assert server.process is not None
            server.process.wait(timeout=patient(10))
            server.start(forks=forks)
            continue
        if reply.status_code != 503:
            assert reply.status_code in (200, 202), reply.text
            return reply


def deaths(numbers: Sequence[int], every: int) -> list[tuple[int, str, str]]:
    """All cases, or each write with some of the surfaces in turn."""
    return [
        (number, side, surface)
        for count, (number, side) in enumerate(product(numbers, ("before", "after")))
        for place, surface in enumerate(SURFACES)
        if FULL or (count + place) % every == 0
    ]


@pytest.mark.parametrize(("number", "side", "surface"), sampled(deaths(range(1, 11), 6)))
def test_an_answer_is_taken_once(
    tmp_path: Path, forks: Forks, number: int, side: str, surface: str
) -> None:
    answer_through(_server(tmp_path, CONFIG), surface, forks, number, side)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@pytest.mark.parametrize(("number", "side", "surface"), sampled(deaths(range(1, 19), 18)))
def test_an_answer_is_taken_once_over_nats(
    nodes: Sequence[Node], tmp_path: Path, forks: Forks, number: int, side: str, surface: str
) -> None:
    config = asyncio.run(clusters.config(nodes, CONFIG))
    answer_through(_server(tmp_path, config), surface, forks, number, side)


def _server(folder: Path, config: str) -> ChildServer:
    return ChildServer(folder, config=config, scenario=SCENARIO)
