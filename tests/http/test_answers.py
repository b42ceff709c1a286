"""Approvals and questions over HTTP: the official client and the native surface, also after a kill -9."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tests.support import order, strict
from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server


@pytest.fixture
def server(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = team_server(tmp_path).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


@pytest.fixture
def client(server: ChildServer) -> Generator[OpenAI, None, None]:
    made = OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
    yield made
    made.close()


def _approve(request: Any, *, approve: bool = True) -> list[Any]:
    answer = {"type": "mcp_approval_response", "approval_request_id": request.id}
    return [{**answer, "approve": approve, "reason": "too dear"}]


def _asked(response: Any) -> Any:
    return next(item for item in response.output if item.type == "mcp_approval_request")


def _stream(server: ChildServer, path: str, body: Any = None) -> list[bytes]:
    """The frames of a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
    data = connection.getresponse().read()
    connection.close()
    return [frame + b"\n\n" for frame in data.split(b"\n\n")[:-1]]


def test_an_approval_ends_a_response_and_its_answer_begins_the_next(
    server: ChildServer, client: OpenAI, tmp_path: Path
) -> None:
    first = client.responses.create(model="lead", input="order a hat")
    request = _asked(first)
    assert (first.status, request.name, request.server_label) == ("completed", "order", "lead")
    assert json.loads(request.arguments) == {"what": "hat"}
    assert effects(tmp_path, "order") == 0
    second = client.responses.create(
        model="lead", previous_response_id=first.id, input=_approve(request)
    )
    assert second.id != first.id
    assert second.previous_response_id == first.id
    assert second.output_text == "All is done now."
    (call,) = [item for item in second.output if item.type == "mcp_call"]
    assert (call.name, call.status, call.approval_request_id) == ("order", "completed", request.id)
    assert effects(tmp_path, "order") == 1
    again = client.responses.retrieve(first.id)
    assert again.output == first.output, "what was seen does not change"
    third = client.responses.create(
        model="lead", previous_response_id=second.id, input="order a hat"
    )
    assert _asked(third)


def test_of_two_answers_the_first_one_counts(client: OpenAI) -> None:
    first = client.responses.create(model="lead", input="order a hat")
    answer = _approve(_asked(first), approve=False)
    second = client.responses.create(model="lead", previous_response_id=first.id, input=answer)
    (call,) = [item for item in second.output if item.type == "mcp_call"]
    assert "too dear" in str(call.output), "a denial reaches the model, with its reason"
    again = client.responses.create(model="lead", previous_response_id=first.id, input=answer)
    assert again == second, "the same answer sent again is shown what it began"
    yes = _approve(_asked(first), approve=True)
    with pytest.raises(APIStatusError) as refused:
        client.responses.create(model="lead", previous_response_id=first.id, input=yes)
    assert (refused.value.status_code, refused.value.code) == (409, "already_answered")


def test_the_frames_of_both_responses_are_valid_and_replay_as_they_were(
    server: ChildServer,
) -> None:
    body = {"model": "lead", "input": "order a hat", "stream": True}
    first = _stream(server, "/v1/responses", body)
    created = json.loads(strict.data_of(first)[0])["response"]
    request = next(
        item
        for item in order.check(first)[-1]["response"]["output"]
        if item["type"] == "mcp_approval_request"
    )
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": True,
    }
    second = _stream(server, "/v1/responses", {**body, "input": [answer]})
    for frames in (first, second):
        strict.responses(frames)
        order.check(frames)
        id = json.loads(strict.data_of(frames)[0])["response"]["id"]
        assert _stream(server, f"/v1/responses/{id}?stream=true") == frames
        assert _stream(server, f"/v1/responses/{id}?starting_after=2") == frames[3:]
    assert json.loads(strict.data_of(second)[0])["response"]["id"] == created["id"] + "_2"
    missing = httpx.get(f"{server.url}/v1/responses/{created['id']}_3")
    assert missing.status_code == 404


def test_a_question_is_a_call_that_the_client_answers(client: OpenAI) -> None:
    """Also a subagent's question, on a mount that shows nothing else of subagents."""
    first = client.responses.create(model="lead", input="ask them")
    (question,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(question.arguments)["options"] == ["red", "blue"]
    second = client.responses.create(
        model="lead",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": question.call_id, "output": "red"}],
    )
    assert second.output_text == "I asked."
    with pytest.raises(APIStatusError) as refused:
        client.responses.create(
            model="lead",
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": question.call_id, "output": "blue"}],
        )
    assert (refused.value.status_code, refused.value.code) == (409, "already_answered")


def test_on_the_agents_mount_every_agent_is_seen_under_its_name(server: ChildServer) -> None:
    made = OpenAI(base_url=f"{server.url}/agent/9", api_key="x", max_retries=0)
    first = made.responses.create(model="any", input="ask them")
    assert first.metadata is not None
    registry = json.loads(first.metadata["x_alien_agent_registry"])
    assert [(e["id"], e["kind"], e["parent_id"]) for e in registry] == [
        ("MAIN", "main", None),
        ("researcher", "subagent", "MAIN"),
        ("asker", "subagent", "MAIN"),
    ]
    (question,) = [item for item in first.output if item.type == "function_call"]
    assert question.name == "ask_user"
    assert str(question.id).startswith("agent:asker::fc_")
    second = made.responses.create(
        model="any",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": question.call_id, "output": "red"}],
    )
    assert second.output_text.endswith("I asked.")
    made.close()


def test_a_killed_server_still_waits_and_the_native_surface_answers(
    server: ChildServer, tmp_path: Path
) -> None:
    def post(path: str, body: Any) -> httpx.Response:
        return httpx.post(server.url + path, json=body, timeout=20)

    job = post("/jobs", {"agent": "lead", "input": "order a hat"}).json()["id"]
    while httpx.get(f"{server.url}/jobs/{job}").json()["status"] != "waiting":
        select_a_moment()
    server.kill()
    server.start()
    found = httpx.get(f"{server.url}/jobs/{job}").json()
    assert (found["status"], found["attempt"]) == ("waiting", 1)
    (asked,) = found["waiting_for"]
    assert (asked["kind"], asked["name"]) == ("approval", "order")
    wrong = post(f"/jobs/{job}/input", {"item": asked["item"], "approved": "yes"})
    assert wrong.status_code == 400
    answer = {"item": asked["item"], "approved": True}
    assert post(f"/jobs/{job}/input", answer).status_code == 202
    events = httpx.get(f"{server.url}/jobs/{job}/stream", timeout=20).text
    assert "run.waiting" in events
    assert "run.resumed" in events
    assert "run.completed" in events
    assert effects(tmp_path, "order") == 1
    assert post(f"/jobs/{job}/input", answer).status_code == 202, "it is sent again"
    assert post(f"/jobs/{job}/input", {**answer, "approved": False}).status_code == 409
    assert effects(tmp_path, "order") == 1
    usage = httpx.get(f"{server.url}/jobs/{job}").json()["usage"]
    assert {line["agent"] for line in usage} == {"MAIN", "researcher", "researcher#2"}
    assert all(line["cost"] > 0 for line in usage)


PAINT = {"type": "function", "name": "paint", "parameters": {"type": "object"}}


@pytest.mark.parametrize("turned", [False, True])
def test_an_approval_and_a_clients_output_may_come_together(
    client: OpenAI, tmp_path: Path, turned: bool
) -> None:
    tools: Any = [PAINT]
    first = client.responses.create(model="lead", input="paint and order", tools=tools)
    output = {"type": "function_call_output", "call_id": "call_paint", "output": "painted"}
    given = [output, *_approve(_asked(first))]
    second = client.responses.create(
        model="lead",
        previous_response_id=first.id,
        input=given[::-1] if turned else given,
        tools=tools,
    )
    assert second.output_text == "Painted and ordered."
    assert effects(tmp_path, "order") == 1
