"""A model server's refusal keeps its meaning, whatever its dialect, on every surface, through real HTTP.
The table in PROTOCOLS.md is what is measured here; `UPDATE_ERRORS=1` updates it."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailrace.events import types as t
from tailrace.http.replies import failure_headers
from tailrace.service.refusals import first_output, model_failure
from tests.support.logs import request
from tests.support.refusals import DIALECTS, KEY, STATUSES, TABLE, WORDS, cases, config
from tests.support.refusing import refusing
from tests.support.servers import ChildServer

PAGE = Path(__file__).parents[2] / "PROTOCOLS.md"


class Server:
    """tailrace with a model server that refuses requests, and a client of tailrace."""

    def __init__(self, child: ChildServer, http: httpx.Client) -> None:
        self.child = child
        self.http = http

    def ask(self, surface: str, model: str, *, stream: bool = False) -> httpx.Response:
        asked: dict[str, Any] = {"model": model, "stream": stream}
        path, said = "/v1/responses", [{"role": "user", "content": "hi"}]
        if surface == "responses":
            asked["input"] = "hi"
        else:
            asked["messages"] = said
            path = "/v1/chat/completions" if surface == "chat" else "/v1/messages"
        if surface == "messages":
            asked["max_tokens"] = 100
        return self.http.post(path, json=asked)

    def job(self, reply: httpx.Response, more: str = "") -> httpx.Response:
        """The run of a reply on the native surface, or its stream in a surface's form."""
        run = reply.headers["x-run-id"].replace("run_", "job_")
        return self.http.get(f"/jobs/{run}{more}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with refusing(TABLE) as models:
        child = ChildServer(tmp_path_factory.mktemp("server"), config=config(models)).start()
        with httpx.Client(base_url=child.url, timeout=30) as http:
            yield Server(child, http)
        child.kill()
        assert "Traceback" not in child.errors()
        assert KEY not in child.errors()


def cell(reply: httpx.Response) -> str:
    error = reply.json()["error"]
    code = f" `{error['code']}`" if "code" in error else ""
    return f"{reply.status_code} `{error['type']}`{code}"


def waits(reply: httpx.Response) -> str:
    again = "no" if reply.headers.get("x-should-retry") == "false" else ""
    again = again or (
        "yes" if reply.status_code in (408, 409, 429) or reply.status_code >= 500 else "no"
    )
    after = reply.headers.get("retry-after")
    return again + (f", after {after} s" if after else "")


ROWS = {
    **{status: status for status in STATUSES.split()},
    "400-long": "400, the prompt is too long",
    "413-long": "413, the prompt is too long",
    "500-long": "500, the prompt is too long",
    "403-flagged": "403, the input was flagged",
    "403-model": "403, this key cannot use the model",
    "403-region": "403, the country is not supported",
    "403-right": "403, the key lacks a permission",
    "200-page": "200 with a page, a text or another document",
    "200-nothing": "200 with an empty body",
    "204": "204",
    "unreachable": "unreachable, or closes the connection",
    "in-long": "in the reply: the prompt is too long",
    "429-wait": "429 with `Retry-After: 7`",
    "503-wait": "503 with `Retry-After: 7`",
    "503-final": "503 with `x-should-retry: false`",
    "in-429": "in the reply: `rate_limit_error`",
    "in-529": "in the reply: `overloaded_error`",
    "in-500": "in the reply: `api_error`",
}


def row(server: Server, name: str) -> str:
    """The refusal of a case, which a server of each dialect gets in equal form."""
    replies = {s: server.ask(s, f"m-chat-{name}") for s in DIALECTS}
    assert cell(replies["chat"]) == cell(replies["responses"])
    told = [cell(replies["chat"]), cell(replies["messages"]), waits(replies["chat"])]
    assert waits(replies["messages"]) == waits(replies["responses"]) == told[-1]
    return f"| {ROWS[name]} | {told[0]} | {told[1]} | {told[2]} |"


def test_the_page_agrees_with_the_server(server: Server) -> None:
    head = "| the model server | Chat, Responses | Messages | retry |\n|---|---|---|---|\n"
    made = head + "\n".join(row(server, name) for name in sorted(ROWS)) + "\n"
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_ERRORS"):
        text = re.sub(r"\| the model server \|(?:.*\n)+?(?=\n)", lambda _: made, text)
        PAGE.write_text(text, encoding="utf-8")
    assert made in text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", [name for name in cases("chat") if not name.startswith("after")])
def test_every_surface_reports_the_status_streamed_or_not(
    server: Server, dialect: str, name: str
) -> None:
    for surface in DIALECTS:
        first, second = (
            server.ask(surface, f"m-{dialect}-{name}", stream=stream) for stream in (False, True)
        )
        if surface == "responses" and name.endswith("-long"):
            assert second.status_code == 200
            assert '"error":{"code":"context_length_exceeded"' in second.text
            second = first
        assert first.status_code == second.status_code >= 400
        assert (cell(first), waits(first)) == (cell(second), waits(second))
        # the status belongs to the reply, whatever the dialect of the model server
        assert first.status_code == server.ask(surface, f"m-chat-{name}").status_code
        for reply in (first, second):
            assert KEY not in reply.text
            assert server.job(reply).json()["error"]["code"]


OWN: dict[tuple[str, str], dict[str, str | None]] = {
    ("chat", "chat"): {
        "type": "invalid_request_error",
        "code": "model_not_found",
        "param": "model",
    },
    ("responses", "chat"): {
        "type": "invalid_request_error",
        "code": "model_not_found",
        "param": "model",
    },
    ("chat", "responses"): {
        "type": "invalid_request_error",
        "code": "model_not_found",
        "param": "model",
    },
    ("messages", "chat"): {"type": "invalid_request_error", "code": "not_found", "param": None},
    ("chat", "messages"): {"type": "not_found_error"},
    ("messages", "messages"): {"type": "not_found_error"},
}


@pytest.mark.parametrize(("dialect", "surface"), OWN)
def test_a_server_keeps_its_words_where_they_are_the_surfaces(
    server: Server, dialect: str, surface: str
) -> None:
    error = server.ask(surface, f"m-{dialect}-404-words").json()["error"]
    expected = OWN[dialect, surface]
    assert {name: error[name] for name in expected} == expected
    assert error["message"] == f"The model server answered 404: {WORDS}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prompt_that_is_too_long_has_the_error_that_clients_recognise(
    server: Server, dialect: str
) -> None:
    for name in ("400-long", "413-long", "500-long", "in-long"):
        model = f"m-{dialect}-{name}"
        for surface in ("chat", "responses"):
            assert server.ask(surface, model).json()["error"]["code"] == "context_length_exceeded"
        error = server.ask("messages", model).json()["error"]
        assert error == {
            "type": "invalid_request_error",
            "message": "prompt is too long: 5000 tokens > 4096 maximum",
        }


STREAMS = {
    "responses": ('"code":"server_is_overloaded"', "response.failed"),
    "chat": ('"code":"server_is_overloaded"', '"error":{'),
    "messages": ('"type":"overloaded_error"', "event: error"),
    "native": ('"status":529', "run.failed"),
    "session": (WORDS, '"type":"error"'),
    "ui": (WORDS, '"type":"error"'),
    "agui": ('"status":529', "RUN_ERROR"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("surface", STREAMS)
def test_a_failure_in_a_reply_that_began_is_in_the_stream(
    server: Server, dialect: str, surface: str
) -> None:
    reply = server.ask("chat", f"m-{dialect}-after-529", stream=True)
    assert reply.status_code == 200
    shown = server.job(reply, f"/stream?as={surface}").text
    for words in STREAMS[surface]:
        assert words in shown
    if surface in DIALECTS:
        whole = server.ask(surface, f"m-{dialect}-after-529")
        assert whole.status_code == {"chat": 503, "messages": 529, "responses": 200}[surface]


@pytest.mark.parametrize("surface", STREAMS)
def test_the_retry_delay_is_in_streams_that_have_a_field_for_it(
    server: Server, surface: str
) -> None:
    reply = server.ask("chat", "m-chat-429-wait")
    shown = server.job(reply, f"/stream?as={surface}").text
    words = {"agui": '"retryAfter":7.0', "messages": "", "session": "", "ui": ""}
    assert words.get(surface, '"retry_after":7.0') in shown


@pytest.mark.parametrize("stream", [False, True])
def test_an_agents_failure_has_the_code_without_the_servers_text(
    server: Server, *, stream: bool
) -> None:
    for surface in DIALECTS:
        reply = server.ask(surface, "a-chat-404-words", stream=stream)
        assert reply.status_code == 404
        assert WORDS not in reply.text
        if surface != "messages":
            assert reply.json()["error"]["code"] == "model_not_found"
        reply = server.ask(surface, "a-messages-429-wait", stream=stream)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
        assert server.ask(surface, "a-responses-401-key", stream=stream).status_code == 502
    assert WORDS in server.child.errors(), "the operator reads it"


# the beginning of a reply, and its advice about retries

FAILED = t.RunFailed("server_error", "no", status=500)
EVENTS: list[tuple[list[t.Payload], bool]] = [
    ([], False),
    ([t.RunStarted(request()), t.NodeStarted("deep_agent", "a"), t.AgentStarted("a")], False),
    ([t.NodeFailed("no"), FAILED], True),
    ([t.RunFailed("server_error", "no")], False),
    ([t.RunCancelled("x")], False),
    ([t.ItemStarted(0, "message"), FAILED], False),
]


@pytest.mark.parametrize(("payloads", "refused"), EVENTS)
def test_a_refusal_is_the_first_event(payloads: list[t.Payload], *, refused: bool) -> None:
    events = [t.Event(n, 0, "", t.NO_AGENT, payload) for n, payload in enumerate(payloads)]
    assert model_failure(first_output(events)) == (FAILED if refused else None)


HEADERS: list[tuple[t.RunEnd, Mapping[str, str]]] = [
    (t.RunCompleted(), {}),
    (t.RunFailed("server_error", "no"), {}),
    (
        t.RunFailed("rate_limit_exceeded", "no", status=429, retry_after=1.2),
        {"retry-after": "2", "retry-after-ms": "1200"},
    ),
    (
        t.RunFailed("rate_limit_exceeded", "no", status=429, retry_after=61),
        {"retry-after": "61", "retry-after-ms": "61000", "x-should-retry": "false"},
    ),
    (t.RunFailed("upstream_auth_failed", "no", status=401), {"x-should-retry": "false"}),
    (t.RunFailed("insufficient_quota", "no", status=429), {"x-should-retry": "false"}),
    (t.RunFailed("server_error", "no", status=503, final=True), {"x-should-retry": "false"}),
]


@pytest.mark.parametrize(("end", "expected"), HEADERS)
def test_retry_headers_follow_the_failure(end: t.RunEnd, expected: Mapping[str, str]) -> None:
    assert failure_headers(end) == expected
