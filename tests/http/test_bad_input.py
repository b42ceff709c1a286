"""Whatever a client sends: the reply has the error body of the surface and the right status, never a 500."""

from __future__ import annotations

import pytest

from tests.http.conftest import Ask

USER = {"role": "user", "content": "x"}

REFUSED: dict[str, tuple[str, str, object, int, str]] = {
    # name: method, path, body, status, param or ""
    "no JSON": ("POST", "/v1/responses", b"{", 400, ""),
    "not an object": ("POST", "/v1/responses", [], 400, ""),
    "not UTF-8": ("POST", "/v1/responses", b'{"input": "\xff"}', 400, ""),
    "deep nesting": ("POST", "/v1/responses", b"[" * 5000 + b"]" * 5000, 400, ""),
    "no body": ("POST", "/v1/responses", b"", 400, ""),
    "no input": ("POST", "/v1/responses", {"model": "echo"}, 400, "input"),
    "input of a wrong type": ("POST", "/v1/responses", {"model": "echo", "input": 1}, 400, "input"),
    "an item of a wrong type": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": [1]},
        400,
        "input[0]",
    ),
    "an unknown role": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": [{"role": "boss", "content": "x"}]},
        400,
        "input[0].role",
    ),
    "stream of a wrong type": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "stream": "yes"},
        400,
        "stream",
    ),
    "temperature of a wrong type": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "temperature": "hot"},
        400,
        "temperature",
    ),
    "two pasts": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "previous_response_id": "a", "conversation": "b"},
        400,
        "previous_response_id",
    ),
    "an unknown past": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "previous_response_id": "resp_x"},
        400,
        "previous_response_id",
    ),
    "an unknown conversation": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "conversation": "conv_x"},
        404,
        "",
    ),
    "an unknown reference": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": [{"type": "item_reference", "id": "msg_x"}]},
        404,
        "",
    ),
    "too much metadata": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x", "metadata": {"a": "b" * 600}},
        400,
        "metadata",
    ),
    "an unknown model": ("POST", "/v1/responses", {"model": "eko", "input": "x"}, 404, "model"),
    "an unknown agent": (
        "POST",
        "/agent/nobody/responses",
        {"model": "m", "input": "x"},
        404,
        "agent",
    ),
    "an oversize body": (
        "POST",
        "/v1/responses",
        {"model": "echo", "input": "x" * 200_000},
        413,
        "",
    ),
    "an unknown response": ("GET", "/v1/responses/resp_x", None, 404, ""),
    "cancel of nothing": ("POST", "/v1/responses/resp_x/cancel", None, 404, ""),
    "delete of nothing": ("DELETE", "/v1/responses/resp_x", None, 404, ""),
    "chat without messages": ("POST", "/v1/chat/completions", {"model": "echo"}, 400, "messages"),
    "chat with no messages": (
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": []},
        400,
        "messages",
    ),
    "chat without a model": ("POST", "/v1/chat/completions", {"messages": [USER]}, 400, "model"),
    "two choices": (
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": [USER], "n": 2},
        422,
        "n",
    ),
    "functions": (
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": [USER], "functions": []},
        422,
        "functions",
    ),
    "function_call": (
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": [USER], "function_call": "auto"},
        422,
        "function_call",
    ),
    "a tool without a name": (
        "POST",
        "/v1/chat/completions",
        {"model": "echo", "messages": [USER], "tools": [{"type": "function", "function": {}}]},
        400,
        "tools[0].function.name",
    ),
    "a job without an agent": ("POST", "/jobs", {"input": "x"}, 400, "agent"),
    "a job with a slip of the pen": (
        "POST",
        "/jobs",
        {"agent": "echo", "inputs": "x"},
        400,
        "inputs",
    ),
    "a job of nobody": ("POST", "/jobs", {"agent": "eko", "input": "x"}, 404, "model"),
    "an unknown job": ("GET", "/jobs/job_x", None, 404, ""),
    "an unknown job's stream": ("GET", "/jobs/job_x/stream", None, 404, ""),
    "an unknown path": ("GET", "/v2/responses", None, 404, ""),
    "a wrong method": ("PUT", "/v1/responses", None, 405, ""),
    "an unknown conversation item": ("GET", "/v1/conversations/conv_x/items", None, 404, ""),
}


@pytest.mark.req("R192")
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_in_the_surfaces_own_form(ask: Ask, name: str) -> None:
    method, path, body, status, param = REFUSED[name]
    answer = ask(method, path, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert answer.error["message"]
    assert (answer.error["param"] or "") == param
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("cursor", ["x", "-2", "1.5", "99999", "1" * 40, "٣"])
def test_a_bad_cursor_is_refused(ask: Ask, cursor: str) -> None:
    made = ask("POST", "/v1/responses", {"model": "echo", "input": "x"}).json
    from urllib.parse import quote

    answer = ask("GET", f"/v1/responses/{made['id']}?starting_after={quote(cursor)}")
    assert answer.status == 400
    assert answer.error["param"] == "starting_after"
    job = str(made["id"]).replace("resp_", "job_")
    answer = ask("GET", f"/jobs/{job}/stream?after={quote(cursor)}")
    assert (answer.status, answer.error["param"]) == (400, "after")
    assert ask("GET", f"/jobs/{job}/stream?as=morse").status == 400


def test_unknown_fields_are_tolerated_where_openai_tolerates_them(ask: Ask) -> None:
    body = {"model": "echo", "input": "x", "some_new_parameter": {"a": 1}, "user": "me"}
    assert ask("POST", "/v1/responses", body).status == 200
    chat = {"model": "echo", "messages": [USER], "some_new_parameter": 1, "n": 1}
    assert ask("POST", "/v1/chat/completions", chat).status == 200


def test_a_near_name_is_suggested(ask: Ask) -> None:
    answer = ask("POST", "/v1/responses", {"model": "ecko", "input": "x"})
    assert "'echo'" in answer.error["message"]
    assert answer.error["code"] == "model_not_found"


def test_cors_only_for_configured_origins(ask: Ask) -> None:
    body = {"model": "echo", "input": "x"}
    named = ask("POST", "/v1/responses", body, {"origin": "http://app.test"})
    assert named.headers["access-control-allow-origin"] == "http://app.test"
    shown = named.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-run-id", "retry-after", "retry-after-ms", "x-should-retry"} <= set(shown)
    other = ask("POST", "/v1/responses", body, {"origin": "http://evil.test"})
    assert "access-control-allow-origin" not in other.headers
