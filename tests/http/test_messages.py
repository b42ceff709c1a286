"""Messages over HTTP: both mounts, both headers of each kind, errors in Anthropic's form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.http.conftest import Answer, Ask
from tests.support import blocks

ASK: dict[str, Any] = {
    "model": "echo",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hi you"}],
}


def _error(answer: Answer) -> dict[str, str]:
    body = msgspec.json.decode(answer.body)
    assert (body["type"], answer.headers["content-type"]) == ("error", "application/json")
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    error: dict[str, str] = body["error"]
    return error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"anthropic-version": "2023-06-01", "x-api-key": "any"},
        {"anthropic-version": "2026-10-21", "authorization": "Bearer any"},
    ],
)
def test_a_message(ask: Ask, headers: dict[str, str]) -> None:
    reply = ask("POST", "/v1/messages", ASK, headers)
    assert reply.status == 200
    assert reply.json["content"] == [{"type": "text", "text": "Hi you"}]
    assert reply.headers["request-id"] == reply.headers["x-run-id"]
    run = reply.headers["x-run-id"].removeprefix("run_")
    assert reply.json["id"] == f"msg_{run}"
    streamed = ask("GET", f"/jobs/job_{run}/stream?as=messages").body
    events = blocks.check(frame + b"\n\n" for frame in streamed.split(b"\n\n")[:-1])
    assert events[0]["message"]["id"] == reply.json["id"]


def test_an_agents_output_names_its_speaker(ask: Ask) -> None:
    reply = ask("POST", "/agent/7/messages", {**ASK, "model": "any", "stream": True})
    said = reply.body.replace(b": ping\n", b"")  # one may come before any frame
    events = blocks.check(frame + b"\n\n" for frame in said.split(b"\n\n")[:-1])
    starts = [event for event in events if event["type"] == "content_block_start"]
    assert {start["x_alien"]["agent_name"] for start in starts} == {"helper"}


def test_a_client_that_stumbles_over_calls_is_spared_them(ask: Ask) -> None:
    old = {"user-agent": "ai/5.0.277 ai-sdk/anthropic/2.0.112 runtime/node.js/22"}
    hat = {**ASK, "model": "helper", "messages": [{"role": "user", "content": "A hat?"}]}
    for headers, calls in ((old, 0), ({}, 2)):
        content = ask("POST", "/v1/messages", hat, headers).json["content"]
        assert isinstance(content, list)
        shown = [block["type"] for block in content if block["type"].startswith("mcp_tool")]
        assert len(shown) == calls


REFUSED: dict[str, tuple[str, object, int, str]] = {
    "no JSON": ("/v1/messages", b"{", 400, "invalid_request_error"),
    "no limit": ("/v1/messages", {**ASK, "max_tokens": None}, 400, "invalid_request_error"),
    "no model of ours": ("/v1/messages", {**ASK, "model": "x"}, 404, "not_found_error"),
    "no agent of ours": ("/agent/99/messages", ASK, 404, "not_found_error"),
    "too large": ("/v1/messages", b" " * 100_001, 413, "request_too_large"),
    "nothing to count": ("/v1/messages/count_tokens", {}, 400, "invalid_request_error"),
    "nobody to count": (
        "/v1/messages/count_tokens",
        {**ASK, "model": "x"},
        404,
        "not_found_error",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_request_has_the_error_form_of_the_surface(ask: Ask, name: str) -> None:
    path, body, status, kind = REFUSED[name]
    reply = ask("POST", path, body)
    assert reply.status == status
    assert _error(reply)["type"] == kind


def test_every_answer_has_a_request_id_and_the_surface_s_own_form(ask: Ask) -> None:
    counted = ask("POST", "/v1/messages/count_tokens", ASK)
    assert counted.headers["request-id"].startswith("req_")
    for path in ("/v1/messages", "/v1/messages/count_tokens", "/agent/7/messages"):
        reply = ask("GET", path)
        assert reply.status == 405
        assert "GET" in _error(reply)["message"]


def test_an_unknown_version_is_refused(ask: Ask) -> None:
    reply = ask("POST", "/v1/messages", ASK, {"anthropic-version": "tomorrow"})
    assert reply.status == 400
    assert "tomorrow" in _error(reply)["message"]


def test_tokens_are_counted(ask: Ask) -> None:
    few = ask("POST", "/v1/messages/count_tokens", ASK).json["input_tokens"]
    more = {**ASK, "system": "word " * 100}
    many = ask("POST", "/v1/messages/count_tokens", more).json["input_tokens"]
    assert isinstance(few, int)
    assert isinstance(many, int)
    assert 0 < few < few + 100 < many
