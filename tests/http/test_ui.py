"""`/api/chat` over HTTP: what the AI SDK's transport sends and reads, byte by byte."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.http.conftest import Ask
from tests.support import ui_chunks
from tests.support.servers import CONFIG, ChildServer
from tests.support.team_files import effects

Sent = dict[str, Any]


def _user(text: str, id: str = "u1") -> Sent:
    return {"id": id, "role": "user", "parts": [{"type": "text", "text": text}]}


def _assistant(reader: ui_chunks.Reader, **changed: Sent) -> Sent:
    """The message in the form in which a client sends it back; `changed` changes parts by the name of their
    call."""
    parts: list[Sent] = []
    for part in reader.parts:
        if part["type"] == "tool":
            ours = "dynamic" in part["flags"]
            kind = "dynamic-tool" if ours else f"tool-{part['name']}"
            sent = {"type": kind, "toolCallId": part["toolCallId"], "input": part["input"]}
            if ours:
                sent |= {"toolName": part["name"], "providerExecuted": True}
            sent["state"] = {"approval-request": "approval-requested"}.get(
                part["state"], part["state"]
            )
            name = "errorText" if part["state"] == "output-error" else "output"
            if "output" in part:
                sent[name] = part["output"]
            parts.append({**sent, **changed.get(part["name"], {})})
        else:
            parts.append({key: value for key, value in part.items() if key != "agent"})
    return {"id": reader.id, "role": "assistant", "parts": parts}


class Client:
    """One chat."""

    def __init__(self, server: ChildServer, agent: str, **extra: Any) -> None:
        self.server = server
        self.body = {"id": "chat/1 ü", "agent": agent, "trigger": "submit-message", **extra}
        self.run = ""

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        data = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, data, {"content-type": "application/json"})
            reply = connection.getresponse()
            self.run = reply.headers.get("x-run-id", self.run)
            return reply.status, reply.read()
        finally:
            connection.close()

    def send(self, *messages: Sent, **more: Any) -> list[bytes]:
        status, data = self.request(
            "POST", "/api/chat", {**self.body, "messages": messages, **more}
        )
        assert status == 200, data
        return _frames(data)

    @contextmanager
    def begin(self, message: Sent) -> Generator[tuple[bytes, Callable[[], bytes]], None, None]:
        """A reply that is in progress: its first line, and a function that reads the rest."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.request("POST", "/api/chat", json.dumps({**self.body, "messages": [message]}))
        reply = connection.getresponse()
        try:
            yield reply.readline(), reply.read
        finally:
            connection.close()

    def refused(self, *messages: Sent, **more: Any) -> tuple[int, Sent]:
        body = {**self.body, "messages": messages, **more}
        status, data = self.request("POST", "/api/chat", body)
        return status, json.loads(data)["error"]

    def stream(self, query: str = "") -> tuple[int, list[bytes]]:
        path = f"/api/chat/{quote(self.body['id'], safe='')}/stream{query}"
        status, data = self.request("GET", path)
        return status, _frames(data) if status == 200 else [data]

    def cancel(self) -> int:
        path = f"/api/chat/{quote(self.body['id'], safe='')}/cancel"
        return self.request("POST", path, {})[0]

    def history(self) -> list[Sent]:
        """The input of the run, by the native surface."""
        events = self.request("GET", f"/jobs/{self.run.replace('run_', 'job_')}/stream")[1]
        first = json.loads(events.split(b"data: ", 1)[1].split(b"\n", 1)[0])
        request = first["payload"]["request"]
        return [*request.get("history", ()), *request["input"]]


def _frames(data: bytes) -> list[bytes]:
    """Frames as the encoder made them: a chunk with its position, the position of the end, the end."""
    events = [event + b"\n\n" for event in data.replace(b": ping\n", b"").split(b"\n\n")[:-1]]
    frames: list[bytes] = []
    for event in events:
        told = b'"data-streamProgress"' in event
        if told and b'"terminal":false' in event:
            frames[-1] += event
        else:
            frames.append(event)
    return frames


def _text(reader: ui_chunks.Reader) -> str:
    return "".join(part["text"] for part in reader.parts if part["type"] == "text")


@pytest.mark.req("R71")
@pytest.mark.req("R91")
def test_a_chat_continues_from_the_clients_history(server: ChildServer) -> None:
    chat = Client(server, "helper")
    first = chat.send(_user("too long"))
    ui_chunks.strict(first)
    reader = ui_chunks.read(first)
    assert _text(reader) == "And so on"
    assert [part["data"] for part in reader.data[:1]] == ["chat/1 ü"]
    assert reader.id == chat.run.replace("run_", "msg_")
    edited = _assistant(reader)
    edited["parts"][1]["text"] = "And so forth"
    second = ui_chunks.read(chat.send(_user("too long"), edited, _user("json", "u2")))
    assert _text(second) == '{"a": 1}'
    assert second.id != reader.id
    told = [item["content"][0]["text"] for item in chat.history()]
    assert told == ["too long", "And so forth", "json"], "the client's word counts"


def test_a_client_may_leave_the_past_to_the_server(server: ChildServer) -> None:
    chat = Client(server, "7", id="told by the server")
    chat.send(_user("too long"))
    body = {**chat.body, "message": _user("json")}
    status, data = chat.request("POST", "/api/chat", body)
    assert (status, _text(ui_chunks.read(_frames(data)))) == (200, '{"a": 1}')
    told = [item["content"][0]["text"] for item in chat.history()]
    assert told == ["too long", "And so on", "json"]


def test_headers(server: ChildServer, ask: Ask) -> None:
    body = {"id": "headers", "agent": "helper", "messages": [_user("json")]}
    answer = ask("POST", "/api/chat", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"].startswith("no-cache")
    assert ask("POST", "/api/chat?agent=helper", {**body, "agent": None}).status == 200


@pytest.mark.req("R80")
@pytest.mark.req("R87")
@pytest.mark.req("R92")
def test_resume_is_all_of_a_live_run_or_what_follows_a_position(server: ChildServer) -> None:
    chat = Client(server, "shopper", id="resumed")
    with chat.begin(_user("buy")) as (head, rest):
        assert b'"start"' in head
        status, again = chat.stream()
        assert status == 200
        assert _frames(head + rest()) == again, "the same bytes"
    assert _text(ui_chunks.read(again)).endswith("All is done now.")
    assert chat.stream()[0] == 204, "nothing is going on any more"
    for after in (0, 5, len(again) - 2):
        assert chat.stream(f"?after={after}") == (200, again[after + 1 :])
    run = chat.run
    chat.send(_user("json"))
    response = run.replace("run_", "resp_")
    assert chat.stream(f"?after=3&responseId={response}") == (200, again[4:])
    assert chat.stream(f"?responseId={response}") == (200, again), "asked for by name: all of it"
    assert chat.stream("?after=0&responseId=resp_x")[0] == 204
    assert Client(server, "helper", id="never heard of").stream()[0] == 204
    assert chat.stream("?after=x")[0] == 400
    assert chat.stream("?after=99999")[0] == 400


def test_any_run_can_be_watched_as_a_ui_stream(server: ChildServer, ask: Ask) -> None:
    made = ask("POST", "/jobs", {"agent": "helper", "input": "json"}).json
    frames = _frames(ask("GET", f"/jobs/{made['id']}/stream?as=ui").body)
    ui_chunks.strict(frames)
    assert _text(ui_chunks.read(frames)) == '{"a": 1}'


@pytest.mark.parametrize(
    ("asked", "said"), [("fail now", "The model is out."), ("fail later", "The model died.")]
)
def test_a_failure_is_the_last_chunk(server: ChildServer, asked: str, said: str) -> None:
    frames = Client(server, "helper", id=asked).send(_user(asked))
    ui_chunks.strict(frames)
    assert ui_chunks.read(frames).ended == "error"
    assert ui_chunks.chunks(frames[-2:-1]) == [{"type": "error", "errorText": said}]


def test_cancel_ends_the_chats_run(server: ChildServer) -> None:
    chat = Client(server, "shopper", id="cancelled")
    with chat.begin(_user("buy")) as (head, rest):
        assert chat.cancel() == 200
        assert ui_chunks.chunks(_frames(head + rest())[-2:-1]) == [{"type": "abort"}]
    assert chat.cancel() == 409
    assert Client(server, "helper", id="never heard of").cancel() == 404


def test_tools_that_the_client_runs(server: ChildServer) -> None:
    """The outputs start a run of their own that continues the same message."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = {"get_weather": {"description": "The weather.", "inputSchema": schema}}
    chat = Client(server, "helper", id="tools", tools=tools)
    first = chat.send(_user("client tool"))
    ui_chunks.strict(first)
    reader = ui_chunks.read(first)
    calls = [part for part in reader.parts if part["type"] == "tool"]
    assert [(call["name"], call["flags"], call["input"]) for call in calls] == [
        ("get_weather", {}, {"city": "Oslo"}),
        ("get_weather", {}, {"city": "Rome"}),
    ]
    half = _assistant(reader)
    assert chat.refused(_user("client tool"), half)[0] == 400
    output = {"state": "output-available", "output": {"sky": "snow"}}
    answered = _assistant(reader, get_weather=output)
    second = chat.send(_user("client tool"), answered)
    reader.ended = ""
    ui_chunks.read(second, reader)
    assert _text(reader) == "Snow and sun."
    assert reader.id == answered["id"], "one message for the person who reads"
    kinds = [(item["type"], item.get("call_id")) for item in chat.history()[1:]]
    ids = [call["toolCallId"] for call in calls]
    assert kinds == [
        *(("tool_call", id) for id in ids),
        *(("tool_output", id) for id in ids),
    ]


@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("knows", [True, False])
def test_an_approval_request_ends_a_response_and_its_answer_continues_it(
    team: ChildServer, tmp_path: Path, approved: bool, knows: bool
) -> None:
    chat = Client(team, "lead", toolApproval=knows)
    first = chat.send(_user("order a hat"))
    ui_chunks.strict(first, list(ui_chunks.VERSIONS)[2 if knows else 0 :])
    reader = ui_chunks.read(first)
    assert reader.parts[0]["type"] == "step-start"
    assert effects(tmp_path, "order") == 0
    status, waiting = chat.stream()
    assert (status, waiting) == (200, first), "a page that is loaded anew sees what is asked"
    if knows:
        (part,) = [part for part in reader.parts if part.get("approval")]
        approval = {"id": part["approval"], "approved": approved, "reason": "too dear"}
        answer = _assistant(reader, order={"state": "approval-responded", "approval": approval})
        sent: tuple[list[Sent], Sent] = ([_user("order a hat"), answer], {})
    else:
        (asked,) = [part for part in reader.data if part["type"] == "data-approval"]
        told = {"id": asked["data"]["id"], "approved": approved, "reason": "too dear"}
        sent = ([_user("order a hat"), _assistant(reader)], {"approvals": [told]})
    run = chat.run
    second = chat.send(*sent[0], **sent[1])
    assert chat.run == run, "the same run goes on"
    reader.ended = ""
    first_number = _first_number(second)
    ui_chunks.read(second, reader, first_number)
    (order,) = [part for part in reader.parts if part.get("name") == "order"]
    assert order["state"] == ("output-available" if approved else "output-error")
    assert effects(tmp_path, "order") == (1 if approved else 0)
    assert _text(reader).endswith("All is done now.")
    after = chat.stream(f"?after={first_number + 1}")
    assert after == (200, second[2:])
    assert chat.send(*sent[0], **sent[1]) == second, "an answer that is sent again"
    changed = json.loads(json.dumps(sent).replace("too dear", "too late"))
    status, error = chat.refused(*changed[0], **changed[1])
    assert (status, error["code"]) == (409, "already_answered")


def _first_number(frames: list[bytes]) -> int:
    return int(ui_chunks.chunks(frames[:1])[-1]["data"]["sequenceNumber"])


def test_a_question_is_a_tool_of_the_client(team: ChildServer) -> None:
    chat = Client(team, "lead")
    reader = ui_chunks.read(chat.send(_user("ask them")))
    (ask,) = [part for part in reader.parts if part.get("name") == "ask_user"]
    assert (ask["flags"], ask["input"]["options"]) == ({}, ["red", "blue"])
    answer = _assistant(reader, ask_user={"state": "output-available", "output": "red"})
    run = chat.run
    second = chat.send(_user("ask them"), answer)
    assert chat.run == run
    reader.ended = ""
    ui_chunks.read(second, reader, _first_number(second))
    assert ask["output"] == "red"
    assert _text(reader) == "Thank you.I asked."
    third = ui_chunks.read(
        chat.send(_user("ask them"), _assistant(reader), _user("order a hat", "u2"))
    )
    assert chat.run != run
    assert third.id != reader.id


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_model_server_that_closes_the_connection_does_not_end_the_run(
    tmp_path: Path, end: str
) -> None:
    config = CONFIG + '[agents.parrot]\nmodel = "slow"\n'
    server = ChildServer(
        tmp_path, server='data = "data"\nshutdown_seconds = 0', config=config
    ).start()
    chat = Client(server, "parrot")
    words = "a word " * 60
    with chat.begin(_user(words)) as (head, rest):
        getattr(server, end)()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            rest()
    server.start()
    status, frames = chat.stream()
    server.kill()
    assert status == 200
    assert frames[0].startswith(head), "the same message"
    ui_chunks.strict(frames)
    reader = ui_chunks.read(frames)
    texts = [part for part in reader.parts if part["type"] == "text"]
    assert texts[-1]["text"] == words
    told = [part.get("providerMetadata", {}).get("tailrace") for part in texts]
    assert told == [{"status": "incomplete"}] * (len(texts) - 1) + [None]


REFUSED: dict[str, tuple[Sent, int, str]] = {
    "no chat": ({"id": None}, 400, "id"),
    "an unknown agent": ({"agent": "eko"}, 404, "agent"),
    "an unknown part": (
        {"messages": [{"role": "user", "parts": [{"type": "hologram"}]}]},
        400,
        "messages[0].parts[0].type",
    ),
    "nothing new": (
        {"messages": [{"role": "assistant", "parts": [{"type": "text", "text": "x"}]}]},
        400,
        "messages",
    ),
    "nothing at all": ({"messages": [{"role": "user", "parts": []}]}, 400, "messages"),
    "an approval that nobody asked": (
        {"approvals": [{"id": "apr_1", "approved": True}]},
        400,
        "approvals[0]",
    ),
    "an approval of a run that is not there": (
        {"approvals": [{"id": "apr_01kabcdefghjkmnpqrstvwxyz0_1", "approved": True}]},
        404,
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(ask: Ask, name: str) -> None:
    fields, status, param = REFUSED[name]
    body = {"id": "refused", "agent": "helper", "messages": [_user("x")], **fields}
    answer = ask("POST", "/api/chat", body)
    assert answer.status == status
    assert (answer.error["param"] or "") == param
    assert answer.headers["content-type"] == "application/json"


def test_outputs_of_a_run_that_is_gone_are_the_past(server: ChildServer) -> None:
    id = "call_01kabcdefghjkmnpqrstvwxyz0_0"
    call = {"type": "tool-show", "toolCallId": id, "input": {}, "state": "output-available"}
    last = {"id": "a", "role": "assistant", "parts": [{**call, "output": "seen"}]}
    chat = Client(server, "helper", id="gone")
    ui_chunks.read(chat.send(_user("json"), last))
    assert [item["type"] for item in chat.history()] == ["message", "tool_call", "tool_output"]
