"""Answers that do not fit the question, or the agent that asked it: refused, and the question stays
open."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server

PARROT = '\n[agents.parrot]\nid = 8\nmodel = "script"\n'
SESSION = {"sessionId": "s", "agentId": "lead"}
Sent = tuple[str, Any]


@pytest.fixture
def team(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    server = team_server(tmp_path)
    with (tmp_path / "tailrace.toml").open("a", encoding="utf-8") as file:
        file.write(PARROT)
    server.start(forks=forks)
    yield server
    server.kill()
    assert "Traceback" not in server.errors()


class Paused:
    """A run that waits for one answer, and clients of all surfaces."""

    def __init__(self, server: ChildServer, asked: str) -> None:
        self._url = server.url
        with httpx.stream("POST", self._url + "/api/stream", json={**SESSION, "message": asked}):
            while self.job()["status"] != "waiting":
                select_a_moment()
        self.suffix: str = self.job()["id"].removeprefix("job_")
        (self.asks,) = self.job()["waiting_for"]
        calls = [n for n in self.job()["output"] if n["content"] and "call_id" in n["content"]]
        self.call = calls[-1]

    def job(self) -> Any:
        (listed,) = httpx.get(f"{self._url}/jobs").json()["data"]
        return httpx.get(f"{self._url}/jobs/{listed['id']}").json()

    def refuses(self, sent: Sent, *, status: int = 400) -> str:
        """An answer is refused and changes nothing; returns the error's text."""
        reply = httpx.post(self._url + sent[0], json=sent[1], timeout=20)
        assert reply.status_code == status, reply.text
        job = self.job()
        assert (job["status"], job["waiting_for"]) == ("waiting", [self.asks])
        error = reply.json()["error"]
        return str(error if isinstance(error, str) else error["message"])

    def takes(self, sent: Sent) -> None:
        """An answer lets the run continue to its end."""
        with httpx.stream("POST", self._url + sent[0], json=sent[1], timeout=20) as reply:
            assert reply.status_code in (200, 202), reply.read()
            reply.read()
        while (status := self.job()["status"]) != "completed":
            assert status == "in_progress"
            select_a_moment()


def _responses(paused: Paused, value: str, agent: str) -> Sent:
    call = {
        "type": "function_call_output",
        "call_id": paused.call["content"]["call_id"],
        "output": value,
    }
    previous = f"resp_{paused.suffix}"
    body = {"model": agent, "previous_response_id": previous, "input": [call]}
    return "/v1/responses", body


def _agents_mount(paused: Paused, value: str, agent: str) -> Sent:
    path = {"lead": "/agent/9/responses", "parrot": "/agent/parrot/responses"}[agent]
    return path, {**_responses(paused, value, "any")[1]}


def _native(paused: Paused, value: str, _: str) -> Sent:
    given = {"request_id": paused.asks["request_id"], "value": value}
    return f"/jobs/job_{paused.suffix}/input", given


def _sessions(_: Paused, value: str, agent: str) -> Sent:
    return "/api/stream", {**SESSION, "agentId": agent, "message": value}


def _ui(paused: Paused, value: str, agent: str) -> Sent:
    about = {"toolCallId": f"call_{paused.suffix}_{paused.call['item']}", "input": {}}
    part = {"type": "tool-ask_user", "state": "output-available", "output": value, **about}
    message = {"id": "m", "role": "assistant", "parts": [part]}
    return "/api/chat", {"id": "c", "agent": agent, "messages": [message]}


def _agui(paused: Paused, value: str, agent: str) -> Sent:
    resumed = {"interruptId": f"ask_{paused.suffix}_0", "status": "resolved", "payload": value}
    body = {"threadId": "t", "runId": "r", "messages": [], "resume": [resumed]}
    return f"/agui/{agent}", body


SURFACES: dict[str, Callable[[Paused, str, str], Sent]] = {
    "responses": _responses,
    "agent's mount": _agents_mount,
    "native": _native,
    "sessions": _sessions,
    "ui": _ui,
    "ag-ui": _agui,
}


@pytest.mark.parametrize("surface", SURFACES)
def test_an_answer_that_the_question_does_not_allow(team: ChildServer, surface: str) -> None:
    sent = SURFACES[surface]
    paused = Paused(team, "ask them")
    told = paused.refuses(sent(paused, "green", "lead"))
    assert "'green' is not one of ['red', 'blue']" in told
    paused.takes(sent(paused, "red", "lead"))


@pytest.mark.parametrize("surface", [name for name in SURFACES if name != "native"])
def test_an_answer_to_another_agent(team: ChildServer, surface: str) -> None:
    sent = SURFACES[surface]
    paused = Paused(team, "ask them")
    told = paused.refuses(sent(paused, "red", "parrot"))
    assert "lead" in told
    assert "parrot" in told
    paused.takes(sent(paused, "red", "lead"))


def test_an_answer_without_an_agent_goes_to_the_one_that_asked(team: ChildServer) -> None:
    paused = Paused(team, "ask them")
    path, body = _ui(paused, "red", "")
    del body["agent"]
    paused.takes((path, body))


@pytest.mark.parametrize("said", ["yes", 1, None, "missing"])
def test_an_approval_is_a_boolean(team: ChildServer, tmp_path: Path, said: Any) -> None:
    """A value other than true or false must not count as a refusal."""
    paused = Paused(team, "order a hat")
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": f"mcpr_{paused.suffix}_{paused.asks['item']}",
        "approve": said,
    }
    if said == "missing":
        del answer["approve"]
    body = {"model": "lead", "input": [answer]}
    assert "approve must be a boolean" in paused.refuses(("/v1/responses", body))
    answer["approve"] = True
    paused.takes(("/v1/responses", body))
    assert effects(tmp_path, "order") == 1


def test_an_approval_for_another_response_is_refused(team: ChildServer) -> None:
    paused = Paused(team, "order a hat")
    other = paused.suffix[:-1] + ("0" if paused.suffix[-1] != "0" else "1")
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": f"mcpr_{other}_{paused.asks['item']}",
        "approve": True,
    }
    body = {"model": "lead", "previous_response_id": f"resp_{paused.suffix}", "input": [answer]}
    assert "another response" in paused.refuses(("/v1/responses", body))
