"""What a reply says of asking again, as the SDKs of OpenAI and Anthropic read it (docs/adr/0008, 0016)."""

from __future__ import annotations

import math

from tailrace.events.types import RunEnd, RunFailed
from tailrace.protocols.failures import again

OBEYED_SECONDS = 60
"""Clients obey a `retry-after` of up to so many seconds; told to wait longer they try at once."""


def headers(end: RunEnd | None) -> dict[str, str]:
    """What a reply without a stream says of asking again."""
    if not isinstance(end, RunFailed):
        return {}
    found = {} if end.retry_after is None else retry_headers(end.retry_after)
    return found if again(end) else {**found, "x-should-retry": "false"}


def retry_headers(seconds: float) -> dict[str, str]:
    """When to try again, as the SDKs of OpenAI and Anthropic read it (docs/adr/0008)."""
    found = {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }
    if seconds > OBEYED_SECONDS:
        found["x-should-retry"] = "false"
    return found
