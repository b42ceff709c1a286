"""Words that look like keys are removed from a text, and all other words stay in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.protocols.secrets import scrub

KEYS = {
    "Incorrect API key provided: sk-proj-abc123XYZ. You can find": "sk-proj-abc123XYZ",
    "Incorrect API key provided: sk-ab12*****************cdef.": "cdef",
    "key gsk_1234567890abcdefghij is wrong": "gsk_1234567890abcdefghij",
    "AIzaSyA1234567890abcdefghijklmno was refused": "AIzaSyA",
    "no Bearer abc.def-123456": "abc.def-123456",
    "header Authorization: Basic dXNlcjpwYXNz": "dXNlcjpwYXNz",
    "POST https://m.test/v1beta/models?alt=sse&key=s3cr3tvalue failed": "s3cr3tvalue",
    "https://user:pa55word@m.test/v1": "pa55word",
    '{"api_key": "plainvalue"}': "plainvalue",
    "x-api-key=plainvalue;": "plainvalue",
    "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc": "eyJzdWIiOiIxIn0",
    "AKIAIOSFODNN7EXAMPLE is no user": "AKIAIOSFODNN7EXAMPLE",
    "password: hunter22": "hunter22",
}
PLAIN = [
    "max_tokens must be at most 8192",
    "Unknown key: temperature",
    "Unexpected token: }",
    "The model `gpt-5.1-codex-mini` does not exist or you do not have access to it.",
    "messages.3: `tool_use` ids were found without `tool_result` blocks: toolu_01A09q90qw90lq917835lq9",
    "This model's maximum context length is 4096 tokens.",
    "rate limit reached for sk models: 3 requests per min",
    "api-version 2024-10-21 is not supported",
]


@pytest.mark.parametrize("text", KEYS)
def test_a_key_is_taken_out(text: str) -> None:
    assert KEYS[text] not in scrub(text)
    assert "[redacted]" in scrub(text)


@pytest.mark.parametrize("text", PLAIN)
def test_text_that_is_not_a_key_stays(text: str) -> None:
    assert scrub(text) == text


@given(st.text(max_size=300))
def test_a_text_that_was_scrubbed_is(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)
