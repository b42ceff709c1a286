"""When a request to a model server is retried: its headers in all their forms, and the bound on any wait."""

from __future__ import annotations

import pytest

from tailrace.models.retrying import MAX_RETRY_WAIT, server_wait, wait_before
from tailrace.protocols.upstream_errors import LONGEST_WAIT

NOW = 1_445_412_480.0
DATE = {"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}

HEADERS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
    ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
    ({"retry-after": "-1"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "1e300"}, LONGEST_WAIT),
    ({"retry-after": "tomorrow"}, None),
    (DATE, 30.0),
    ({**DATE, "date": "Wed, 21 Oct 2015 07:28:20 GMT"}, 10.0),
    ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT"}, 0.0),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "17ms"}, 0.017),
    ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1m"}, None),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "rubbish"}, None),
    (
        {
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "2015-10-21T07:28:05Z",
        },
        5.0,
    ),
]


@pytest.mark.parametrize(("headers", "seconds"), HEADERS)
def test_a_servers_retry_after_is_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert server_wait(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("attempt", "asked", "seconds"),
    [
        (0, None, 0.5),
        (1, None, 1.0),
        (2, None, 2.0),
        (50, None, MAX_RETRY_WAIT),
        (0, 7.0, 7.0),
        (0, 30.0, 30.0),
        (0, 3600.0, MAX_RETRY_WAIT),
        (3, 0.0, 0.0),
    ],
)
def test_a_retry_waits_a_bounded_time(attempt: int, asked: float | None, seconds: float) -> None:
    assert wait_before(attempt, asked) == seconds
    assert MAX_RETRY_WAIT == 30.0
