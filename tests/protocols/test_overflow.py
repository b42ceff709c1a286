"""A prompt that is too long is known by all the sentences for it, and told in Anthropic's."""

from __future__ import annotations

import pytest

from tailrace.protocols.overflow import in_anthropics_words, says_too_long

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
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_it_is_known_and_told(said: str) -> None:
    assert says_too_long(said)
    assert in_anthropics_words(said) == SAID[said]


@pytest.mark.parametrize(
    "said",
    ["max_tokens must be at most 8192", "no such model", "The context of this is unknown", ""],
)
def test_other_errors_are_none(said: str) -> None:
    assert not says_too_long(said)
