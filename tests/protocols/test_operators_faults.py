"""What only the operator can mend is told apart by its words, and in none of them."""

from __future__ import annotations

import pytest

from tailrace.protocols.operators_faults import (
    ABROAD,
    ELSEWHERE,
    KEY,
    NOT_PERMITTED,
    UNPAID,
    OperatorError,
    fault,
    meaning,
)

NONE: frozenset[str] = frozenset()

MEANS: list[tuple[int, str, int]] = [
    (400, "Incorrect API key provided: x", 401),
    (400, "API key not valid. Please pass a valid API key.", 401),
    (400, "Your credit balance is too low to access the Anthropic API.", 402),
    (403, "Insufficient balance", 402),
    (400, "This request requires more credits, or fewer max_tokens.", 402),
    (400, "User location is not supported for the API use.", 403),
    (400, "Access to Anthropic models is not allowed from unsupported countries, regions.", 403),
    (403, "This model is not available in your country.", 403),
    (403, "You do not have access to model x", 404),
    (400, "The model `x` does not exist", 0),
    (400, "temperature must be at most 2", 0),
    (400, "The parameter country is not a string", 0),
    (500, "API key invalid", 0),
]


@pytest.mark.parametrize(("status", "message", "meant"), MEANS)
def test_the_text_decides_where_the_status_does_not(status: int, message: str, meant: int) -> None:
    assert meaning(status, message, NONE) == meant


FAULTS: list[tuple[int, str, tuple[str, ...], OperatorError]] = [
    (401, "", (), KEY),
    (403, "Just a moment", (), KEY),
    (407, "", (), KEY),
    (402, "", (), UNPAID),
    (403, "", ("unsupported_country_region_territory", "request_forbidden"), ABROAD),
    (302, "", (), ELSEWHERE),
    (403, "", ("permission_error",), NOT_PERMITTED),
    (403, "You are not allowed to sample from this model", ("invalid_request_error",), NOT_PERMITTED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "words", "found"), FAULTS)
def test_each_has_its_sentence(
    status: int, message: str, words: tuple[str, ...], found: OperatorError
) -> None:
    assert fault(status, message, *words) == found
