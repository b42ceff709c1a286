"""The error replies of model servers, in the shapes that they really have."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest

from tailrace.errors import ModelFailed
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.protocols.operators_faults import ELSEWHERE, KEY, UNPAID
from tailrace.protocols.upstream_errors import server_failure

CODECS: dict[str, Any] = {
    "chat": ChatCodec(),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}


class Said(NamedTuple):
    """A server's response, and the parts of it that we keep."""

    answered: int
    body: str
    status: int
    code: str
    words: str
    kind: str = ""
    param: str = ""


HTML = "<html><head><title>404 Not Found</title></head><body><h1>nginx</h1></body></html>"
SHAPES: dict[str, Said] = {
    "a page": Said(404, HTML, 404, "not_found", "404 Not Found"),
    "JSON without error": Said(500, '{"ok": false}', 500, "server_error", '{"ok": false}'),
    "nothing": Said(502, "", 502, "server_error", "answered 502"),
    "an empty object": Said(502, "{}", 502, "server_error", "answered 502"),
    "OpenAI's quota": Said(
        429,
        '{"error":{"message":"over it","type":"insufficient_quota","code":"insufficient_quota"}}',
        429,
        "insufficient_quota",
        "over it",
        "insufficient_quota",
    ),
    "FastAPI": Said(404, '{"detail": "Not Found"}', 404, "not_found", "Not Found"),
    "FastAPI, a field": Said(
        422,
        '{"detail": [{"loc": ["body", "max_tokens"], "msg": "too large", "type": "less_than"}]}',
        422,
        "invalid_prompt",
        "too large",
        "",
        "max_tokens",
    ),
    "a message": Said(429, '{"message": "slow down"}', 429, "rate_limit_exceeded", "slow down"),
    "a text": Said(404, '{"error": "model \'x\' not found"}', 404, "not_found", "model 'x' not found"),
    "vLLM of old": Said(
        404,
        '{"object":"error","message":"no such model","type":"NotFoundError","param":null,"code":404}',
        404,
        "not_found",
        "no such model",
        "NotFoundError",
    ),
    "vLLM": Said(
        400,
        '{"error":{"message":"bad top_k","type":"BadRequestError","param":"top_k","code":400}}',
        400,
        "invalid_prompt",
        "bad top_k",
        "BadRequestError",
        "top_k",
    ),
    "OpenAI": Said(
        404,
        '{"error":{"message":"gone","type":"invalid_request_error","param":"model","code":"model_not_found"}}',
        404,
        "model_not_found",
        "gone",
        "invalid_request_error",
        "model",
    ),
    "Anthropic": Said(
        529,
        '{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"r"}',
        529,
        "overloaded_error",
        "busy",
        "overloaded_error",
    ),
    "Azure's content filter": Said(
        400,
        '{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,'
        '"innererror":{"code":"ResponsibleAIPolicyViolation"}}}',
        400,
        "content_filter",
        "filtered",
        "",
        "prompt",
    ),
    "a filter that forbids": Said(
        403, '{"error":{"message":"flagged","code":"moderation"}}', 400, "moderation", "flagged"
    ),
    "Azure's gateway": Said(
        429,
        '{"error":{"code":"429","message":"retry after 7 seconds"}}',
        429,
        "rate_limit_exceeded",
        "retry after 7",
    ),
    "Azure's management": Said(
        404, '{"statusCode": 404, "message": "Resource not found"}', 404, "not_found", "Resource not"
    ),
    "Google": Said(
        429,
        '{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}',
        429,
        "rate_limit_exceeded",
        "quota",
    ),
    "Google, a list": Said(
        503,
        '[{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]',
        503,
        "server_error",
        "busy",
    ),
    "AWS throttles": Said(
        400,
        '{"__type":"com.amazon.coral.service#ThrottlingException","message":"Too many tokens"}',
        429,
        "rate_limit_exceeded",
        "Too many tokens",
        "ThrottlingException",
    ),
    "AWS": Said(
        400,
        '{"__type":"ValidationException","message":"bad"}',
        400,
        "invalid_prompt",
        "bad",
        "ValidationException",
    ),
    "DeepSeek": Said(
        400,
        '{"error":{"message":"bad","type":"invalid_request_error","code":"invalid_request_error"}}',
        400,
        "invalid_prompt",
        "bad",
        "invalid_request_error",
    ),
    "llama.cpp": Said(
        400,
        '{"error":{"code":400,"message":"exceeds the context size","type":"exceed_context_size_error"}}',
        400,
        "context_length_exceeded",
        "context size",
        "exceed_context_size_error",
    ),
    "TGI": Said(
        429, '{"error":"Model is overloaded","error_type":"overloaded"}', 429, "rate_limit_exceeded",
        "Model is overloaded", "overloaded",
    ),
    "a proxy of a server that has too much to do": Said(
        500,
        '{"error":{"type":"overloaded_error","message":"busy"}}',
        529,
        "overloaded_error",
        "busy",
        "overloaded_error",
    ),
    "Cloudflare": Said(524, "error code: 524", 524, "server_error", "error code: 524"),
}  # fmt: skip


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("name", SHAPES)
def test_an_error_keeps_its_status_code_and_message(dialect: str, name: str) -> None:
    said = SHAPES[name]
    failure: ModelFailed = CODECS[dialect].failure(said.answered, said.body.encode())
    found = (failure.status, failure.code, failure.error_type, failure.param, failure.dialect)
    assert found == (said.status, said.code, said.kind, said.param, dialect)
    assert said.words in failure.message
    assert "<" not in failure.message
    again = said.status in (408, 409, 425, 429) or said.status >= 500
    assert failure.retryable == (again and said.code != "insufficient_quota")
    assert not failure.message.endswith(": ")
    if said.words != "answered 502":
        assert said.words not in failure.public
    assert failure.detail == ""


OPERATORS = {
    "OpenAI": (401, '{"error":{"message":"Incorrect API key provided: sk-ab**cd","code":"invalid_api_key"}}'),
    "Anthropic": (401, '{"type":"error","error":{"type":"authentication_error","message":"invalid sk-ab"}}'),
    "Google": (
        400,
        '{"error":{"code":400,"message":"API key not valid. sk-ab","status":"INVALID_ARGUMENT"}}',
    ),
    "a reason": (
        400,
        '{"error":{"message":"no sk-ab","details":[{"reason":"API_KEY_INVALID"}]}}',
    ),
    "AWS": (403, '{"__type":"UnrecognizedClientException","message":"sk-ab"}'),
    "a page": (403, "<html><title>Just a moment sk-ab</title></html>"),
    "a proxy": (407, "sk-ab"),
    "in a 200": (0, '{"error":{"code":"invalid_api_key","message":"sk-ab"}}'),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_a_key_that_is_refused_is_the_operators_alone(name: str) -> None:
    status, body = OPERATORS[name]
    failure: ModelFailed
    if status:
        failure = ChatCodec().failure(status, body.encode())
    else:
        decoder = CODECS["chat"].decoder("m")
        decoder.feed(f"data: {body}\n\n".encode())
        failure = decoder.failure
    assert (failure.message, failure.public) == (KEY.message, KEY.message)
    assert (failure.code, failure.retryable) == ("upstream_auth_failed", False)
    assert failure.status in (401, 403, 407)
    assert f"answered {failure.status}: " in failure.detail


def test_what_else_is_the_operators() -> None:
    unpaid = server_failure("top up account 1234", {"error": {"message": "x"}}, 402)
    assert (unpaid.message, unpaid.code, unpaid.retryable) == (
        UNPAID.message,
        "upstream_billing_failed",
        False,
    )
    elsewhere = server_failure("moved", None, 302)
    assert (elsewhere.message, elsewhere.retryable) == (ELSEWHERE.message.format(302), False)


WORDS: list[tuple[dict[str, Any], int, str, bool]] = [
    ({"code": 504, "type": "GatewayTimeout"}, 500, "server_error", True),
    ({"code": 503}, 503, "server_error", True),
    ({"type": "overloaded_error"}, 529, "overloaded_error", True),
    ({"type": "not_found_error"}, 404, "not_found", False),
    ({"type": "request_too_large"}, 413, "invalid_prompt", False),
    ({"code": "model_not_found", "type": "invalid_request_error"}, 404, "model_not_found", False),
    ({"status": "RESOURCE_EXHAUSTED"}, 429, "rate_limit_exceeded", True),
    ({"status": "DEADLINE_EXCEEDED"}, 500, "server_error", True),
    ({"code": "insufficient_quota"}, 429, "insufficient_quota", False),
    ({"code": "slow_down"}, 503, "slow_down", True),
    ({"code": "our_very_own"}, 500, "our_very_own", True),
    ({}, 500, "server_error", True),
    ({"code": True, "type": 7, "status": []}, 500, "server_error", True),
    ({"code": 4e99, "type": "x" * 999, "param": 5}, 500, "server_error", True),
]


@pytest.mark.parametrize(("told", "status", "code", "again"), WORDS)
def test_inside_a_reply_the_words_are_the_status(
    told: dict[str, Any], status: int, code: str, *, again: bool
) -> None:
    for shape in (told, {"error": told}, [{"error": told}], {"error": {"error": told}}):
        failure = server_failure("no", shape)
        assert (failure.status, failure.code, failure.retryable) == (status, code, again)
        assert (failure.message, failure.public != "") == ("no", True)


def test_a_long_error_costs_little() -> None:
    began = time.thread_time()
    failure = server_failure("sk-" * 700_000, {"param": "key-" * 700_000, "code": "x" * 2_000_000})
    assert time.thread_time() - began < 1
    assert len(failure.message) <= 500
    assert len(failure.param) <= 200


def test_googles_retry_delay_inside_the_error_is_read() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    assert (
        server_failure("quota", {"error": {"code": 429, "details": details}}, 429).retry_after
        == 34.5
    )
    for rubbish in ("soon", "-1s", None, True, float("inf")):
        told: Any = {"error": {"code": 429, "retry_after": rubbish}}
        assert server_failure("quota", told, 429).retry_after is None


SAID = "canary"
REPLIES = [
    b"data: canary canary\n\n",
    b"<html><title>canary</title></html>",
    b"canary canary",
    b'data: {"error": "canary"}\n\n',
    b"event: error\ndata: canary\n\n",
    b'{"detail": "canary"}',
]


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("reply", REPLIES)
def test_a_public_message_has_no_text_of_the_server(dialect: str, reply: bytes) -> None:
    """An agent's clients receive `public` (tests/runtimes/test_foreign.py)."""
    decoder = CODECS[dialect].decoder("m")
    decoder.feed(reply)
    decoder.close()
    failure: ModelFailed = decoder.failure
    assert SAID in failure.message or "ended in the middle" in failure.message
    assert failure.public or SAID not in failure.message
    assert SAID not in failure.public
