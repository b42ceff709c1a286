"""A prompt that is too long is recognised by all error texts for it, and reported with Anthropic's."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.protocols.overflow import in_anthropics_words, says_too_long, with_counts

SAID = {
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 "
    "tokens.":
        "prompt is too long: 130001 tokens > 128000 maximum",
    "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (1000 in the "
    "messages, 4000 in the completion).":
        "prompt is too long: input length and `max_tokens` exceed context limit: 1000 + 4000 > 4097, "
        "decrease input length or `max_tokens` and try again",
    "Requested token count exceeds the model's maximum context length of 262144 tokens. You requested a "
    "total of 262462 tokens: 230462 tokens from the input messages and 32000 tokens for the completion.":
        "prompt is too long: input length and `max_tokens` exceed context limit: 230462 + 32000 > 262144, "
        "decrease input length or `max_tokens` and try again",
    "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).":
        "prompt is too long: 1196265 tokens > 1048575 maximum",
    "This model's maximum prompt length is 131,072 but the request contains 537,812 tokens.":
        "prompt is too long: 537812 tokens > 131072 maximum",
    "prompt is too long: 213462 tokens > 200000 maximum":
        "prompt is too long: 213462 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 1 + 2 > 2, decrease input length":
        "input length and `max_tokens` exceed context limit: 1 + 2 > 2, decrease input length",
    "Your input exceeds the context window of this model.":
        "prompt is too long: Your input exceeds the context window of this model.",
    "Input is too long for requested model.": "prompt is too long: Input is too long for requested model.",
    "the request exceeds the available context size, try increasing it":
        "prompt is too long: the request exceeds the available context size, try increasing it",
    "Please reduce the length of the messages or completion.":
        "prompt is too long: Please reduce the length of the messages or completion.",
    "request (4476 tokens) exceeds the available context size (4096 tokens), try increasing it":
        "prompt is too long: 4476 tokens > 4096 maximum",
    "the request exceeds the available context size (n_prompt_tokens: 5000, n_ctx: 4096)":
        "prompt is too long: 5000 tokens > 4096 maximum",
    "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: "
    "5453>= n_ctx: 4096).":
        "prompt is too long: 5453 tokens > 4096 maximum",
    "Cannot truncate prompt with n_keep (9000) >= n_ctx (4096)":
        "prompt is too long: 9000 tokens > 4096 maximum",
    "Prompt contains 300000 tokens and is too large for model with 131072 maximum context length":
        "prompt is too long: 300000 tokens > 131072 maximum",
    "Your request exceeded model token limit: 262144 (requested: 300000)":
        "prompt is too long: 300000 tokens > 262144 maximum",
    "prompt token count of 74490 exceeds the limit of 72000":
        "prompt is too long: 74490 tokens > 72000 maximum",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens. "
    "Please reduce the length of the messages.":
        "prompt is too long: 300000 tokens > 272000 maximum",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000":
        "prompt is too long: 5000 tokens > 4081 maximum",
    "Too many input tokens. Max input tokens: 8192, request input token count: 11170":
        "prompt is too long: 11170 tokens > 8192 maximum",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 200 "
    "`max_new_tokens`":
        "prompt is too long: input length and `max_tokens` exceed context limit: 4000 + 200 > 4096, "
        "decrease input length or `max_tokens` and try again",
    "`inputs` must have less than 1024 tokens. Given: 4096":
        "prompt is too long: 4096 tokens > 1024 maximum",
    "The prompt is too long: 200000, model maximum context length: 131071":
        "prompt is too long: 200000 tokens > 131071 maximum",
    "Input prompt (35247 tokens) is too long and exceeds limit of 1000":
        "prompt is too long: 35247 tokens > 1000 maximum",
    "Prompt has 300,000 tokens, but the configured context size is 131,072 tokens":
        "prompt is too long: 300000 tokens > 131072 maximum",
    "The input (12000 tokens) is longer than the model's context length (10000 tokens).":
        "prompt is too long: 12000 tokens > 10000 maximum",
    "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 tokens "
    "(130000 of text input, 10000 in the output).":
        "prompt is too long: input length and `max_tokens` exceed context limit: 130000 + 10000 > 131072, "
        "decrease input length or `max_tokens` and try again",
    "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is "
    "40960 tokens and your request has 20000 input tokens (32000 > 40960 - 20000).":
        "prompt is too long: input length and `max_tokens` exceed context limit: 20000 + 32000 > 40960, "
        "decrease input length or `max_tokens` and try again",
    "litellm.ContextWindowExceededError: This model's maximum context length is 128000 tokens. However, your "
    "messages resulted in 130001 tokens.":
        "prompt is too long: 130001 tokens > 128000 maximum",
    "prompt too long; exceeded max context length by 100918 tokens":
        "prompt is too long: prompt too long; exceeded max context length by 100918 tokens",
    "Range of input length should be [1, 98304]":
        "prompt is too long: Range of input length should be [1, 98304]",
    "the input length exceeds the context length":
        "prompt is too long: the input length exceeds the context length",
    "invalid params, context window exceeds limit":
        "prompt is too long: invalid params, context window exceeds limit",
    "Prompt is too long": "prompt is too long: Prompt is too long",
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_prompt_that_is_too_long_is_recognised_and_translated(said: str) -> None:
    assert says_too_long(said)
    assert in_anthropics_words(said) == SAID[said]


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens must be at most 8192",
        "no such model",
        "The context of this is unknown",
        "Expected a string with maximum length 10485760",
        "The request took too long",
        "Too many requests, you have exceeded your limit of tokens",
        "",
    ],
)
def test_other_errors_are_none(said: str) -> None:
    assert not says_too_long(said)


@pytest.mark.parametrize("wrapped", ["The model server answered 500: {}", "{} (asked 3 times)"])
@pytest.mark.parametrize("said", SAID)
def test_surrounding_text_changes_no_number(said: str, wrapped: str) -> None:
    told = SAID[said]
    around = in_anthropics_words(wrapped.format(said))
    assert says_too_long(wrapped.format(said))
    assert around == told or said in around  # the server's own words stay


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_prompt_tokens": 5000, "n_ctx": 4096}, "no (n_prompt_tokens: 5000, n_ctx: 4096)"),
        ({"n_prompt_tokens": 5000}, "no"),
        ({"n_prompt_tokens": "5000", "n_ctx": True}, "no"),
        ({}, "no"),
    ],
)
def test_counts_beside_a_message_without_counts_are_reported(fields: Any, told: str) -> None:
    assert with_counts("no", fields) == told
    whole = "request (5000 tokens) exceeds the available context size (4096 tokens)"
    assert with_counts(whole, fields) == whole
