"""The words of a refusal determine its meaning if its status says less or something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.errors import ModelFailed
from tailrace.protocols.upstream_errors import server_failure
from tests.protocols.test_upstream_errors import CODECS

LONG = [
    {"message": "This model's maximum context length is 4096 tokens, but the request has 5000 input tokens."},
    {"message": "no", "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096},
    {"message": "no", "code": "context_length_exceeded"},
    {"message": "Prompt is too long", "type": "invalid_request_error"},
    {"message": "no", "code": "model_max_prompt_tokens_exceeded"},
]  # fmt: skip


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("told", LONG)
@pytest.mark.parametrize("status", [0, 400, 404, 413, 422, 500, 502, 503, 529])
def test_a_prompt_that_is_too_long_is_so_in_any_status(
    dialect: str, told: dict[str, Any], status: int
) -> None:
    body = json.dumps({"error": told}).encode()
    if status:
        failure = CODECS[dialect].failure(status, body)
    else:
        decoder = CODECS[dialect].decoder("m")
        decoder.feed(b"event: error\ndata: " + body + b"\n\n")
        failure = decoder.failure
    assert (failure.status, failure.code) == (400, "context_length_exceeded")
    assert not failure.retryable
    if "n_ctx" in told:
        assert "n_prompt_tokens: 5000, n_ctx: 4096" in failure.message


@pytest.mark.parametrize("status", [401, 402, 408, 429])
def test_a_rate_is_no_length(status: int) -> None:
    told = {"error": {"message": "too many tokens: max is 10", "code": "rate_limit_exceeded"}}
    assert server_failure(told["error"]["message"], told, status).status == status
    limit: Any = {"message": "Too many tokens, max", "type": "rate_limit_error"}
    assert server_failure(limit["message"], {"error": limit}).status == 429


FLAGGED = {"reasons": ["violence"], "flagged_input": "I will ...", "provider_name": "Anthropic"}
FORBIDS: dict[str, tuple[str, int, str]] = {
    "OpenRouter moderates": (
        json.dumps({"error": {"code": 403, "message": "Input was flagged", "metadata": FLAGGED}}),
        400,
        "content_filter",
    ),
    "OpenRouter, by its word": (
        '{"error":{"code":"content_policy_violation","message":"no"}}',
        400,
        "content_policy_violation",
    ),
    "OpenRouter's guardrail": (
        '{"error":{"code":403,"message":"Request blocked: prompt injection patterns detected"}}',
        400,
        "content_filter",
    ),
    "xAI": (
        '{"code":"The caller does not have permission","error":"Content violates usage guidelines."}',
        400,
        "content_filter",
    ),
    "no such model": (
        '{"error":{"message":"Project `proj_9` does not have access to model `m`",'
        '"type":"invalid_request_error","code":"model_not_found"}}',
        404,
        "model_not_found",
    ),
    "no such model, in a sentence": (
        '{"__type":"AccessDeniedException","message":"You don\'t have access to the model with this ID."}',
        404,
        "model_not_found",
    ),
    "a country": (
        '{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory '
        'not supported","param":null,"type":"request_forbidden"}}',
        403,
        "upstream_region_refused",
    ),
    "a country, by its type": (
        '{"type":"error","error":{"type":"RegionError","message":"no"}}',
        403,
        "upstream_region_refused",
    ),
    "a scope": (
        '{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: x"}}',
        403,
        "upstream_permission_denied",
    ),
    "a right": (
        '{"type":"error","error":{"type":"permission_error","message":"no"}}',
        403,
        "upstream_permission_denied",
    ),
    "credits": (
        '{"error":"Your team has either used all available credits or reached its monthly spending limit."}',
        402,
        "upstream_billing_failed",
    ),
    "a rate": ('{"error":{"code":"rate_limit_exceeded","message":"no"}}', 429, "rate_limit_exceeded"),
    "a key": ('{"error":{"message":"who are you?"}}', 403, "upstream_auth_failed"),
    "nothing": ("", 403, "upstream_auth_failed"),
}  # fmt: skip


@pytest.mark.parametrize("dialect", CODECS)
@pytest.mark.parametrize("name", FORBIDS)
def test_a_403_is_reported_by_its_meaning(dialect: str, name: str) -> None:
    body, status, code = FORBIDS[name]
    failure: ModelFailed = CODECS[dialect].failure(403, body.encode())
    assert (failure.status, failure.code) == (status, code)
    assert failure.retryable == (status == 429)
    assert "proj_9" not in failure.message
    assert (f"answered {status}: " in failure.detail) == (status not in (400, 429))


DOCUMENTS = {
    "responses": {
        "type": "response.failed",
        "response": {"error": {"code": "rate_limit_exceeded"}},
    },
    "messages": {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}},
    "chat": {"error": {"code": 429, "message": "slow down"}},
}


@pytest.mark.parametrize("dialect", DOCUMENTS)
def test_an_error_that_is_no_stream_is_that_error(dialect: str) -> None:
    decoder = CODECS[dialect].decoder("m")
    made = [*decoder.feed(json.dumps(DOCUMENTS[dialect]).encode()), *decoder.close()]
    assert made == []
    assert (decoder.failure.status, decoder.failure.code) == (429, "rate_limit_exceeded")


WRAPPED = [
    (500, "invalid_api_key", 401),
    (502, "model_not_found", 404),
    (500, "content_filter", 400),
    (500, "rate_limit_exceeded", 429),
    (500, "invalid_request_error", 500),  # proxies use it for any failure
    (503, "model_not_found", 503),  # at present
    (504, "invalid_api_key", 504),
]


@pytest.mark.parametrize(("answered", "code", "meant"), WRAPPED)
def test_what_a_proxy_wraps_goes_before_its_status(answered: int, code: str, meant: int) -> None:
    assert server_failure("no", {"error": {"code": code}}, answered).status == meant
