"""Every surface refuses an answer with a field that the server does not honour, and names the field.

A person who changes the amount and approves the call must not find that the old amount was paid.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server

Sent = tuple[str, Any]
EDITED = {"what": "ship"}
YES = {"status": "resolved", "payload": {"approved": True}}
NO = {"status": "cancelled"}


@pytest.fixture
def team(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    server = team_server(tmp_path).start(forks=forks)
    yield server
    server.kill()
    assert "Traceback" not in server.errors()


class Paused:
    """A run that waits for approval of `order(what="hat")`, or for a colour."""

    def __init__(self, server: ChildServer, asked: str) -> None:
        self.url = server.url
        said = {"sessionId": "s", "agentId": "lead", "message": asked}
        with httpx.stream("POST", self.url + "/api/stream", json=said):
            while self.job()["status"] != "waiting":
                select_a_moment()
        self.suffix: str = self.job()["id"].removeprefix("job_")
        (self.asks,) = self.job()["waiting_for"]

    def job(self) -> Any:
        (listed,) = httpx.get(f"{self.url}/jobs").json()["data"]
        return httpx.get(f"{self.url}/jobs/{listed['id']}").json()

    def send(self, sent: Sent) -> httpx.Response:
        return httpx.post(self.url + sent[0], json=sent[1], timeout=20)

    def call(self, prefix: str) -> str:
        return f"{prefix}_{self.suffix}_{self.asks['item']}"


def _agui(paused: Paused, **entry: Any) -> Sent:
    resumed = {"interruptId": paused.call("apr"), **entry}
    return "/agui/lead", {"threadId": "t", "runId": "r", "messages": [], "resume": [resumed]}


def _responses(paused: Paused, *before: Any, **more: Any) -> Sent:
    answer = {"type": "mcp_approval_response", "approval_request_id": paused.call("mcpr")}
    return "/v1/responses", {
        "model": "lead",
        "input": [*before, {**answer, "approve": True, **more}],
    }


def _asked(paused: Paused, **changed: Any) -> Any:
    asked = {"type": "mcp_approval_request", "id": paused.call("mcpr"), "server_label": "tailrace"}
    return {**asked, "name": "order", "arguments": '{"what": "ship"}', **changed}


def _ui(paused: Paused, input: Any, **more: Any) -> Sent:
    approval = {"id": paused.call("apr"), "approved": True, **more}
    about = {"toolCallId": paused.call("call"), "input": input, "approval": approval}
    part = {"type": "tool-order", "state": "approval-responded", **about}
    message = {"id": "m", "role": "assistant", "parts": [part]}
    return "/api/chat", {"id": "c", "agent": "lead", "messages": [message]}


def _old_ui(paused: Paused, input: Any, **more: Any) -> Sent:
    part = {"type": "tool-order", "state": "input-available", "toolCallId": paused.call("call")}
    message = {"id": "m", "role": "assistant", "parts": [{**part, "input": input}]}
    approvals = [{"id": paused.call("apr"), "approved": True, **more}]
    body = {"id": "c", "agent": "lead", "messages": [message], "approvals": approvals}
    return "/api/chat", body


def _native(paused: Paused, **more: Any) -> Sent:
    answer = {"item": paused.asks["item"], "approved": True}
    return f"/jobs/job_{paused.suffix}/input", {**answer, **more}


HAT = {"what": "hat"}
REFUSED: dict[str, tuple[Callable[[Paused], Sent], str]] = {
    "ag-ui, payload": (
        lambda p: _agui(p, status="resolved", payload={"approved": True, "args": EDITED}),
        "resume[0].payload.args",
    ),
    "ag-ui, entry": (lambda p: _agui(p, **YES, editedArgs=EDITED), "resume[0].editedArgs"),
    "ag-ui, no": (
        lambda p: _agui(p, **NO, payload={"editedArgs": 1}),
        "resume[0].payload.editedArgs",
    ),
    "ag-ui, no with a yes": (
        lambda p: _agui(p, **NO, payload={"approved": True}),
        ".payload.approved",
    ),
    "ag-ui, reason": (
        lambda p: _agui(
            p, status="resolved", payload={"approved": True, "reason": {"what": "ship"}}
        ),
        "resume[0].payload.reason",
    ),
    "responses, key": (lambda p: _responses(p, editedArgs=EDITED), "input[0].editedArgs"),
    "responses, reason": (lambda p: _responses(p, reason=["ship"]), "input[0].reason"),
    "responses, arguments": (lambda p: _responses(p, _asked(p)), "input[0].arguments"),
    "responses, name": (
        lambda p: _responses(p, _asked(p, arguments=None, name="sell")),
        "input[0].name",
    ),
    "ui, key": (lambda p: _ui(p, HAT, args=EDITED), "messages[0].parts[0].approval.args"),
    "ui, input": (lambda p: _ui(p, EDITED), "messages[0].parts[0].input"),
    "ui, less input": (lambda p: _ui(p, {}), "messages[0].parts[0].input"),
    "ui, approvals": (lambda p: _old_ui(p, HAT, args=EDITED), "approvals[0].args"),
    "ui, approvals and input": (lambda p: _old_ui(p, EDITED), "messages[0].parts[0].input"),
    "native": (lambda p: _native(p, editedArgs=EDITED), "answers.editedArgs"),
    "native, beside": (
        lambda p: (_native(p)[0], {"answers": [_native(p)[1]], "editedArgs": EDITED}),
        "editedArgs",
    ),
}
TAKEN: dict[str, Callable[[Paused], Sent]] = {
    "ag-ui": lambda p: _agui(p, status="resolved", payload={"approved": True, "reason": "fine"}),
    "ag-ui, null": lambda p: _agui(p, status="resolved", payload={"approved": True, "x": None}),
    "responses": lambda p: _responses(p, _asked(p, arguments=None), id="m", reason="fine"),
    "ui": lambda p: _ui(p, HAT, isAutomatic=False, reason="fine"),
    "ui, approvals": lambda p: _old_ui(p, HAT, reason="fine"),
    "native": lambda p: _native(p, asked=1, reason="fine"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsupported_key_is_refused(team: ChildServer, tmp_path: Path, case: str) -> None:
    sent, place = REFUSED[case]
    paused = Paused(team, "order a hat")
    reply = paused.send(sent(paused))
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert place in (error.get("param") or error["message"])
    job = paused.job()
    assert (job["status"], job["waiting_for"]) == ("waiting", [paused.asks])
    assert effects(tmp_path, "order") == 0


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_honoured_is_taken(team: ChildServer, tmp_path: Path, case: str) -> None:
    paused = Paused(team, "order a hat")
    reply = paused.send(TAKEN[case](paused))
    assert reply.status_code in (200, 202), reply.text
    while (status := paused.job()["status"]) != "completed":
        assert status == "in_progress"
        select_a_moment()
    assert effects(tmp_path, "order") == 1


def test_a_session_s_answer_has_no_other_keys(team: ChildServer) -> None:
    paused = Paused(team, "ask them")
    said = {"sessionId": "s", "agentId": "lead", "message": "red"}
    reply = paused.send(("/api/stream", {**said, "editedArgs": EDITED}))
    assert reply.status_code == 400
    assert "editedArgs" in reply.json()["error"]
    assert paused.job()["status"] == "waiting"
    assert paused.send(("/api/stream", said)).status_code == 200
