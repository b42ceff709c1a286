"""Retry headers, as the SDKs of OpenAI and Anthropic read them (docs/adr/0008, 0016)."""

from __future__ import annotations

import math

from tailrace.events.types import RunEnd, RunFailed
from tailrace.protocols.failures import again

OBEYED_SECONDS = 60
"""SDKs obey a `retry-after` up to this; for a longer one they retry at once."""


def headers(end: RunEnd | None) -> dict[str, str]:
    """The retry headers of a reply without a stream."""
    if not isinstance(end, RunFailed):
        return {}
    retry = {} if end.retry_after is None else retry_headers(end.retry_after)
    return retry if again(end) else {**retry, "x-should-retry": "false"}


def retry_headers(seconds: float) -> dict[str, str]:
    """The headers for a retry after `seconds`, rounded up."""
    retry = {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }
    if seconds > OBEYED_SECONDS:
        retry["x-should-retry"] = "false"
    return retry
