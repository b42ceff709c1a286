"""A person's decision about a call, on every surface that has a form for it: the call runs as approved or
as edited, or its output is the person's message. The log has the decision, the person who decided, and the
arguments of the call that ran."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailrace.auth.tokens import Token
from tailrace.cli.tokens import tokens_of
from tailrace.config import Config
from tailrace.events.types import Decision
from tests.http.test_edited_answers import (
    HAT,
    Paused,
    Sent,
    _agui,
    _native,
    _old_ui,
    _responses,
    _ui,
)
from tests.http.test_limits import wants_keys
from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server

SHIP = {"what": "ship"}
WORDS = "We have one already."
NOTE = '[A person edited this call before it ran. It ran with: {"what":"ship"}]\n'
Send = Callable[[Paused], Sent]


def _resolved(paused: Paused, **payload: Any) -> Sent:
    return _agui(paused, status="resolved", payload=payload)


def _response(paused: Paused, **more: Any) -> Sent:
    path, body = _responses(paused, **more)
    del body["input"][0]["approve"]
    return path, body


def _ui_response(paused: Paused, **more: Any) -> Sent:
    """An answer in `approvals`, beside the approval that the SDK puts into the message."""
    path, body = _ui(paused, HAT)
    return path, {**body, "approvals": [{"id": paused.call("apr"), **more}]}


def _job(paused: Paused, **more: Any) -> Sent:
    return _native(paused)[0], {"item": paused.asks["item"], **more}


def _history(paused: Paused) -> list[Any]:
    """A chat client's history up to the question."""
    call = {"id": paused.call("apr"), "type": "function"}
    function = {"name": "ask_user", "arguments": "{}"}
    said = {
        "role": "assistant",
        "content": "Run order?",
        "tool_calls": [{**call, "function": function}],
    }
    return [{"role": "user", "content": "order a hat"}, said]


def _chat(paused: Paused, *, words: bool = False, **decision: Any) -> Sent:
    output = decision.get("text") or json.dumps(decision)
    answer: Any = {"role": "tool", "tool_call_id": paused.call("apr"), "content": output}
    if words:
        answer = {"role": "user", "content": output}
    return "/v1/chat/completions", {"model": "lead", "messages": [*_history(paused), answer]}


def _messages(paused: Paused, *, words: bool = False, **decision: Any) -> Sent:
    output = decision.get("text") or json.dumps(decision)
    call = {"type": "tool_use", "id": paused.call("apr"), "name": "ask_user", "input": {}}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": output}
    said = {"role": "assistant", "content": [{"type": "text", "text": "Run order?"}, call]}
    answer = {"role": "user", "content": output if words else [result]}
    messages = [{"role": "user", "content": "order a hat"}, said, answer]
    return "/v1/messages", {"model": "lead", "max_tokens": 99, "messages": messages}


def _calls(send: Callable[..., Sent]) -> dict[Decision, Send]:
    return {
        "approve": lambda p: send(p, approved=True),
        "edit": lambda p: send(p, approved=True, arguments=SHIP),
        "reject": lambda p: send(p, approved=False, reason="too dear"),
        "respond": lambda p: send(p, response=WORDS),
    }


def _words(send: Callable[..., Sent]) -> dict[Decision, Send]:
    return {
        "approve": lambda p: send(p, words=True, text="Yes."),
        "reject": lambda p: send(p, words=True, text="No, too dear"),
    }


DECISIONS: dict[str, dict[Decision, Send]] = {
    "native": {
        "approve": lambda p: _job(p, approved=True),
        "edit": lambda p: _job(p, approved=True, arguments=SHIP),
        "reject": lambda p: _job(p, approved=False, reason="too dear"),
        "respond": lambda p: _job(p, response=WORDS),
    },
    "ag-ui": {
        "approve": lambda p: _resolved(p, approved=True),
        "edit": lambda p: _resolved(p, approved=True, editedArgs=SHIP),
        "reject": lambda p: _resolved(p, approved=False, reason="too dear"),
        "respond": lambda p: _resolved(p, response=WORDS),
    },
    "responses": {
        "approve": lambda p: _responses(p),
        "edit": lambda p: _responses(p, arguments=json.dumps(SHIP, separators=(",", ":"))),
        "reject": lambda p: _responses(p, approve=False, reason="too dear"),
        "respond": lambda p: _response(p, response=WORDS),
    },
    "ui": {
        "approve": lambda p: _ui(p, HAT),
        "edit": lambda p: _ui_response(p, approved=True, arguments=SHIP),
        "reject": lambda p: _ui(p, HAT, approved=False, reason="too dear"),
        "respond": lambda p: _ui_response(p, response=WORDS),
    },
    "ui, ai 5": {
        "approve": lambda p: _old_ui(p, HAT),
        "edit": lambda p: _old_ui(p, HAT, arguments=SHIP),
        "reject": lambda p: _old_ui(p, HAT, approved=False, reason="too dear"),
        "respond": lambda p: _old_ui(p, HAT, approved=None, response=WORDS),
    },
    "chat": _calls(_chat),
    "messages": _calls(_messages),
    "chat, in words": _words(_chat),
    "messages, in words": _words(_messages),
}
CASES = [(surface, each) for surface, decisions in DECISIONS.items() for each in decisions]


@pytest.fixture
def team(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    server = team_server(tmp_path).start(forks=forks)
    yield server
    server.kill()
    assert "Traceback" not in server.errors()


def payloads(paused: Paused) -> dict[str, Any]:
    """The last event of each type about the call, when the run has completed."""
    while (status := paused.job()["status"]) != "completed":
        assert status == "in_progress"
        select_a_moment()
    stream = httpx.get(f"{paused.url}/jobs/job_{paused.suffix}/stream").text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    of_call = [
        event["payload"] for event in events if event["payload"].get("item") == paused.asks["item"]
    ]
    return {payload["type"]: payload for payload in of_call}


@pytest.mark.parametrize(("surface", "decision"), CASES)
def test_a_decision_has_its_effect(
    team: ChildServer, tmp_path: Path, surface: str, decision: Decision
) -> None:
    paused = Paused(team, "order a hat")
    reply = paused.send(DECISIONS[surface][decision](paused))
    assert reply.status_code in (200, 202), reply.text
    of_call = payloads(paused)
    resolved, output = of_call["approval.resolved"], of_call["tool.completed"]["output"]
    runs = decision in ("approve", "edit")
    assert effects(tmp_path, "order") == runs
    assert ("tool.started" in of_call) == runs
    assert resolved["approved"] == runs
    assert of_call["item.completed"]["content"]["arguments"] == '{"what":"hat"}', (
        "as the model wrote it"
    )
    match decision:
        case "approve":
            assert "arguments" not in resolved | of_call["tool.started"]
            assert not output.startswith("[A person")
        case "edit":
            assert (
                resolved["arguments"] == of_call["tool.started"]["arguments"] == '{"what":"ship"}'
            )
            assert output.startswith(NOTE)
        case "reject":
            assert output == "A person refused this call: too dear"
            assert of_call["tool.completed"]["is_error"]
        case "respond":
            assert (resolved["response"], output) == (WORDS, WORDS)
            assert "is_error" not in of_call["tool.completed"]


BAD_EDITS: dict[str, tuple[Any, str]] = {
    "another type": ({"what": 1}, "do not fit its schema"),
    "a missing argument": ({}, "do not fit its schema"),
    "a list": (["ship"], "must be an object or a string"),
    "not JSON": ("{", "are not JSON"),
    "not an object": ('"ship"', "must be a JSON object"),
}


@pytest.mark.parametrize("surface", [each for each in DECISIONS if "words" not in each])
@pytest.mark.parametrize("bad", BAD_EDITS)
def test_an_edit_that_does_not_fit_is_refused(
    team: ChildServer, tmp_path: Path, surface: str, bad: str
) -> None:
    arguments, message = BAD_EDITS[bad]
    edits: dict[str, Send] = {
        "native": lambda p: _job(p, approved=True, arguments=arguments),
        "ag-ui": lambda p: _resolved(p, approved=True, editedArgs=arguments),
        "responses": lambda p: _responses(p, arguments=arguments),
        "ui": lambda p: _ui_response(p, approved=True, arguments=arguments),
        "ui, ai 5": lambda p: _old_ui(p, HAT, arguments=arguments),
        "chat": lambda p: _chat(p, approved=True, arguments=arguments),
        "messages": lambda p: _messages(p, approved=True, arguments=arguments),
    }
    paused = Paused(team, "order a hat")
    reply = paused.send(edits[surface](paused))
    assert reply.status_code == 400, reply.text
    assert message in reply.json()["error"]["message"]
    assert paused.job()["waiting_for"] == [paused.asks]
    assert effects(tmp_path, "order") == 0


UNCLEAR = ("maybe", "yes, but to my office", "is it safe?", "", "approved: true", "yesterday")


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("send", [_chat, _messages])
def test_words_that_do_not_decide_are_refused(
    team: ChildServer, tmp_path: Path, send: Callable[..., Sent], words: bool
) -> None:
    paused = Paused(team, "order a hat")
    for text in UNCLEAR:
        reply = paused.send(send(paused, words=words, text=text or " "))
        assert reply.status_code == 400, text
        assert "must decide about the call: approve, or reject" in reply.json()["error"]["message"]
    assert paused.job()["waiting_for"] == [paused.asks]
    assert effects(tmp_path, "order") == 0


def test_fields_that_contradict_each_other_are_refused(team: ChildServer) -> None:
    paused = Paused(team, "order a hat")
    for more in (
        {"approved": False, "arguments": SHIP},
        {"approved": True, "response": WORDS},
        {"response": WORDS, "reason": "x"},
        {"arguments": SHIP},
        {},
    ):
        assert paused.send(_job(paused, **more)).status_code == 400, more
    assert paused.job()["waiting_for"] == [paused.asks]


def test_the_request_shows_what_may_be_decided(team: ChildServer) -> None:
    asks = Paused(team, "order a hat").asks
    assert asks["decisions"] == ["approve", "edit", "reject", "respond"]
    assert asks["schema"]["required"] == ["what"]


def test_the_first_decision_counts_and_its_repetition_is_accepted(
    team: ChildServer, tmp_path: Path
) -> None:
    paused = Paused(team, "order a hat")
    edit = _job(paused, approved=True, arguments=SHIP)
    assert paused.send(edit).status_code == 202
    payloads(paused)
    assert paused.send(edit).status_code == 202, "as it was answered before"
    assert paused.send(_job(paused, approved=True)).status_code == 409
    assert paused.send(_job(paused, approved=True, arguments={"what": "car"})).status_code == 409
    assert effects(tmp_path, "order") == 1


def test_responses_show_the_arguments_that_ran(team: ChildServer) -> None:
    paused = Paused(team, "order a hat")
    reply = paused.send(DECISIONS["responses"]["edit"](paused)).json()
    (call,) = [item for item in reply["output"] if item.get("name") == "order"]
    assert (call["type"], call["arguments"]) == ("mcp_call", '{"what":"ship"}')
    first = httpx.get(f"{team.url}/v1/responses/resp_{paused.suffix}").json()
    (asked,) = [item for item in first["output"] if item["type"] == "mcp_approval_request"]
    assert json.loads(asked["arguments"]) == HAT


def test_a_ui_message_shows_the_arguments_that_ran(team: ChildServer) -> None:
    paused = Paused(team, "order a hat")
    stream = paused.send(DECISIONS["ui"]["edit"](paused)).text
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    inputs = [each["input"] for each in chunks if each["type"] == "tool-input-available"]
    assert inputs[-1] == SHIP


def test_ag_ui_describes_the_decisions(team: ChildServer) -> None:
    messages = [{"id": "1", "role": "user", "content": "order a hat"}]
    body = {"threadId": "t", "runId": "r", "messages": messages}
    stream = httpx.post(f"{team.url}/agui/lead", json=body, timeout=30).text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    (interrupt,) = events[-1]["outcome"]["interrupts"]
    properties = interrupt["responseSchema"]["properties"]
    assert properties.keys() == {"approved", "reason", "editedArgs", "response"}
    assert properties["editedArgs"]["required"] == ["what"]


@pytest.mark.parametrize("user", ["ann", ""])
def test_the_log_names_the_user_who_decided(tmp_path: Path, user: str) -> None:
    """By the user, or by the id of a token without one; a client cannot name another person."""
    server = team_server(tmp_path).start()
    try:
        wants_keys(server)
        tokens = tokens_of(Config(), server.folder / "data")
        made = Token(id="", name="t", tenant="shop", user=user)
        mine = {"authorization": f"Bearer {asyncio.run(tokens.create(made))}"}
        (token,) = [each.id for each in asyncio.run(tokens.all()) if each.tenant == "shop"]
        reply = httpx.post(
            f"{server.url}/jobs", json={"agent": "lead", "input": "order a hat"}, headers=mine
        )
        url = f"{server.url}/jobs/{reply.json()['id']}"
        while (job := httpx.get(url, headers=mine).json())["status"] != "waiting":
            select_a_moment()
        answer = {"item": job["waiting_for"][0]["item"], "approved": True}
        forged = httpx.post(f"{url}/input", json={**answer, "by": "bob"}, headers=mine)
        assert forged.status_code == 400
        httpx.post(f"{url}/input", json=answer, headers=mine).raise_for_status()
        stream = httpx.get(f"{url}/stream", headers=mine, timeout=30).text
        assert f'"by":"{user or token}"' in stream
        assert "bob" not in stream
    finally:
        server.kill()
