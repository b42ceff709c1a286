"""Sessions over HTTP: lines or SSE, sessions that continue, questions answered in them, failures."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import msgspec
import pytest

from tailrace.protocols.session_lines import wire_events
from tests.http.conftest import Answer, Ask
from tests.support import lines
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import team_server


def _events(body: bytes) -> list[wire_events.SessionEvent]:
    """The events as the loop in the guide reads them: split at line feeds, without empty lines."""
    return lines.check(line + b"\n" for line in body.split(b"\n") if line.strip())


def _text(events: list[wire_events.SessionEvent]) -> str:
    return "".join(event.delta for event in events if isinstance(event, wire_events.MessageUpdate))


@pytest.mark.req("R136")
@pytest.mark.req("R138")
@pytest.mark.req("R140")
@pytest.mark.req("R141")
@pytest.mark.req("R143")
@pytest.mark.req("R144")
@pytest.mark.req("R146")
@pytest.mark.req("R147")
@pytest.mark.req("R162")
def test_a_message_begins_a_session(ask: Ask) -> None:
    asked = {"message": "Hi", "tenantId": "t", "userId": "u", "agentId": "helper"}
    for body in ({"message": "Hi"}, asked):
        reply = ask("POST", "/api/stream", body)
        assert reply.headers["content-type"].startswith("application/x-ndjson")
        assert reply.headers["x-session-id"]
        events = _events(reply.body)
        assert isinstance(events[-2], wire_events.SessionEnd)
        assert events[-2].usage.total_tokens > 0
        assert isinstance(events[-1], wire_events.SessionContextUsage)
        assert _text(events).endswith("Found a hat.")


@pytest.mark.req("R145")
@pytest.mark.req("R161")
def test_a_session_continues(ask: Ask) -> None:
    first = ask("POST", "/api/stream", {"message": "One", "agentId": "echo"})
    session = first.headers["x-session-id"]
    again = {"message": "Two", "agentId": "echo", "sessionId": session}
    second = ask("POST", "/api/stream", again)
    assert second.headers["x-session-id"] == session
    run = second.headers["x-run-id"].removeprefix("run_")
    started = ask("GET", f"/jobs/job_{run}/stream").body.split(b"\n\n")[0].partition(b"data: ")[2]
    history = msgspec.json.decode(started)["payload"]["request"]["history"]
    assert [item["content"][0]["text"] for item in history] == ["One", "One"]
    other = ask("POST", "/api/stream", {**again, "tenantId": "other"})
    run = other.headers["x-run-id"].removeprefix("run_")
    started = ask("GET", f"/jobs/job_{run}/stream").body.split(b"\n\n")[0]
    assert b'"history"' not in started, "another tenant's session of the same name"


def test_a_wrong_method_has_the_error_form_of_the_surface(ask: Ask) -> None:
    reply = ask("GET", "/api/stream")
    assert (reply.status, reply.headers["content-type"]) == (405, "application/json")
    assert isinstance(msgspec.json.decode(reply.body)["error"], str)


def test_a_name_with_a_slash_is_no_tenant_s(ask: Ask) -> None:
    asked = {"message": "Mine", "agentId": "echo", "sessionId": "c"}
    mine = ask("POST", "/api/stream", {**asked, "tenantId": "a/b"})
    assert ask("GET", "/api/stream/c?tenantId=a/b").body == mine.body
    for path in ("/api/stream/a%2Fb%2Fc", "/api/stream/b%2Fc?tenantId=a"):
        assert ask("GET", path).status == 404, path
    theirs = ask("POST", "/api/stream", {**asked, "message": "Theirs", "sessionId": "a/b/c"})
    assert ask("GET", "/api/stream/a%2Fb%2Fc").body == theirs.body


NAMES = {
    "plain": "chat-1_a.b~c/d:e",
    "a space": "a b",
    "a sign of the encoding": "100%25",
    "other scripts": "Zürich 東京 🎩",
    "signs": 'a;b,c"d\\\\e<f>',
}


@pytest.mark.parametrize("name", NAMES)
def test_a_session_s_name_in_a_header_leads_back_to_it(ask: Ask, name: str) -> None:
    session = NAMES[name]
    first = ask("POST", "/api/stream", {"message": "Hi", "agentId": "echo", "sessionId": session})
    said = first.headers["x-session-id"]
    assert said.isascii()
    assert unquote(said) == session
    assert ask("GET", "/api/stream/" + quote(said, safe="/%")).body == first.body
    if name == "plain":
        assert said == session


@pytest.mark.req("R149")
def test_a_turn_can_be_read_again_from_any_line(ask: Ask) -> None:
    first = ask("POST", "/api/stream", {"message": "Hi", "sessionId": "read again"})
    path = "/api/stream/read%20again"
    assert ask("GET", path).body == first.body
    rest = ask("GET", path + "?after=4").body
    assert rest.split(b"\n") == first.body.split(b"\n")[5:]
    run = first.headers["x-run-id"].removeprefix("run_")
    assert ask("GET", f"/jobs/job_{run}/stream?as=session").body == first.body
    assert ask("GET", path + "?after=9999").status == 400
    assert ask("GET", "/api/stream/nobody").status == 404


def test_a_client_that_accepts_server_sent_events_gets_them(ask: Ask) -> None:
    reply = ask("POST", "/api/stream", {"message": "Hi"}, {"accept": "text/event-stream"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    frames = [frame for frame in reply.body.split(b"\n\n") if frame]
    data = [frame.removeprefix(b"data: ") + b"\n" for frame in frames if frame[:1] != b":"]
    assert _text(lines.check(data)).endswith("Found a hat.")


@pytest.mark.req("R137")
def test_a_browser_may_read_the_session_s_id(ask: Ask) -> None:
    reply = ask("POST", "/api/stream", {"message": "Hi"}, {"origin": "http://app.test"})
    assert "x-session-id" in reply.headers["access-control-expose-headers"]


@pytest.mark.req("R159")
def test_a_failure_is_an_error_and_nothing_follows(ask: Ask) -> None:
    events = _events(ask("POST", "/api/stream", {"message": "fail later"}).body)
    assert isinstance(events[-1], wire_events.Error)
    assert events[-1].error.message == "The model died."
    (said,) = [e.message for e in events if isinstance(e, wire_events.TurnComplete)]
    assert (said.stop_reason, said.error_message) == ("error", "The model died.")


REFUSED: dict[str, tuple[Any, int]] = {
    "no JSON": (b"{", 400),
    "no message": ({}, 400),
    "an empty message": ({"message": ""}, 400),
    "a message of a wrong type": ({"message": 1}, 400),
    "an unknown agent": ({"message": "x", "agentId": "nobody"}, 404),
    "a session of a wrong type": ({"message": "x", "sessionId": 7}, 400),
    "a session of control characters": ({"message": "x", "sessionId": "a\nb"}, 400),
    "an attachment without data": ({"message": "x", "attachments": [{"name": "a"}]}, 400),
    "too large": (b" " * 100_001, 413),
}


@pytest.mark.req("R148")
@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_fails_before_the_stream_begins(ask: Ask, name: str) -> None:
    body, status = REFUSED[name]
    reply: Answer = ask("POST", "/api/stream", body)
    assert reply.status == status
    error = reply.json["error"]
    assert isinstance(error, str)
    assert error


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    server = team_server(tmp_path_factory.mktemp("team")).start()
    yield server
    server.kill()
    assert "Traceback" not in server.errors()


@pytest.mark.req("R164")
@pytest.mark.req("R165")
@pytest.mark.req("R166")
@pytest.mark.req("R167")
@pytest.mark.req("R168")
@pytest.mark.req("R169")
@pytest.mark.req("R170")
@pytest.mark.req("R171")
def test_subagents_are_announced(team: ChildServer, tmp_path: Path) -> None:
    with httpx.Client(base_url=team.url, timeout=20) as client:
        asked = {"message": "order a hat", "agentId": "lead", "sessionId": "hats"}
        with client.stream("POST", "/api/stream", json=asked) as reply:
            run = reply.headers["x-run-id"].removeprefix("run_")
            body = b""
            for piece in reply.iter_bytes():
                body += piece
                if b'"permission_request"' in piece:
                    (waits,) = client.get(f"/jobs/job_{run}").json()["waiting_for"]
                    answer = {"item": waits["item"], "approved": True}
                    client.post(f"/jobs/job_{run}/input", json=answer)
    events = _events(body)
    jobs = {e.agent_id: e.job for e in events if isinstance(e, wire_events.SubagentJobCompleted)}
    assert {job.output_text for job in jobs.values()} == {"Found it."}
    assert set(jobs) == {"researcher", "researcher#2"}
    for kind in (
        wire_events.SubagentSpawned,
        wire_events.SubagentJobStarted,
        wire_events.SubagentClosed,
    ):
        assert len([e for e in events if isinstance(e, kind)]) == 2
    assert [e.decision for e in events if isinstance(e, wire_events.PermissionResolved)] == [
        "approved"
    ]
    (begun,) = [e for e in events if isinstance(e, wire_events.OrchestrationRunStart)]
    (over,) = [e for e in events if isinstance(e, wire_events.OrchestrationRunComplete)]
    assert begun.initial_task.input == "order a hat"
    assert (begun.run_id, over.status) == (over.run_id, "completed")
    assert _text(events).endswith("All is done now.")
    assert "Looking" not in _text(events)


def test_the_next_message_answers_the_question(team: ChildServer) -> None:
    asked = {"message": "which colour", "agentId": "asker", "sessionId": "colours"}
    with httpx.Client(base_url=team.url, timeout=20) as client:
        with client.stream("POST", "/api/stream", json=asked) as reply:
            line = next(ln for ln in reply.iter_lines() if '"waiting_for_user_input"' in ln)
        question = msgspec.json.decode(line, type=wire_events.WaitingForUserInput)
        assert (question.question, question.options) == ("Which colour?", ("red", "blue"))
        run = reply.headers["x-run-id"]
        while client.get(f"/jobs/{run.replace('run_', 'job_')}").json()["status"] != "waiting":
            select_a_moment()
        rest = client.post("/api/stream", json={**asked, "message": "red"})
        assert rest.headers["x-run-id"] == run
        again = client.get("/api/stream/colours").content
    assert again.endswith(rest.content)
    assert b'"text":"red"' in rest.content
    assert _text(_events(again)).endswith("Thank you.")


def test_a_repeated_message_does_not_answer_the_question_it_caused(
    team: ChildServer,
) -> None:
    asked = {"message": "ask them", "agentId": "lead", "sessionId": "twice"}
    key = {"idempotency-key": "twice"}

    def until_it_asks() -> list[str]:
        with httpx.stream(
            "POST", f"{team.url}/api/stream", json=asked, headers=key, timeout=20
        ) as reply:
            lines = reply.iter_lines()
            seen = [reply.headers["x-run-id"]]
            while '"waiting_for_user_input"' not in seen[-1]:
                seen.append(next(lines))
            return seen

    first = until_it_asks()
    job = f"{team.url}/jobs/{first[0].replace('run_', 'job_')}"
    while httpx.get(job, timeout=20).json()["status"] != "waiting":
        select_a_moment()
    assert until_it_asks() == first
    assert httpx.get(job, timeout=20).json()["status"] == "waiting"
