"""Retries of model servers: the delay that their headers request, and the delay that we wait. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tailrace.protocols.upstream_errors import LONGEST_WAIT

FIRST_RETRY_WAIT = 0.5
MAX_RETRY_WAIT = 30.0
"""The longest delay of a run before a retry, whatever the server requests, in seconds."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+")
_STEP = re.compile(r"([0-9.]+)(ms|s|m|h|d)")


def wait_before(attempt: int, server_wait: float | None) -> float:
    """Seconds before the next attempt, after `attempt` (0, 1 …) failed."""
    wait = FIRST_RETRY_WAIT * 2**attempt if server_wait is None else server_wait
    return min(wait, MAX_RETRY_WAIT)


def server_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The delay in seconds after which a server accepts a retry: `retry-after-ms`, else `Retry-After` in
    seconds or as a date, else the reset of the exhausted limit (`x-ratelimit-remaining-…: 0`). None without
    such headers."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := _seconds(headers.get(name, ""), scale)) is not None:
            return seconds
    if (date := _until(headers.get("retry-after", ""), headers, now)) is not None:
        return date
    resets = (_reset(headers, what, now) for what in ("requests", "tokens"))
    return max((wait for wait in resets if wait is not None), default=None)


def _seconds(text: str, scale: float) -> float | None:
    try:
        seconds = float(text) * scale
    except ValueError:
        return None
    return min(seconds, LONGEST_WAIT) if 0 <= seconds < math.inf else None  # neither is nan


def _until(text: str, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a date, by the server's own clock if its headers have it."""
    moment = _moment(text)
    if moment is None:
        return None
    begin = _moment(headers.get("date", ""))
    return min(max(moment - (now if begin is None else begin), 0.0), LONGEST_WAIT)


def _moment(text: str) -> float | None:
    """A date in the format of HTTP or ISO 8601."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except ValueError:
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _reset(headers: Mapping[str, str], what: str, now: float) -> float | None:
    """The time until an exhausted limit resets, from OpenAI's and Anthropic's headers."""
    for remaining, reset in (
        (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}"),
        (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset"),
    ):
        text = headers.get(reset, "")
        if headers.get(remaining, "").strip() != "0" or not text:
            continue
        if _SPAN.fullmatch(text):
            total = sum(float(n) * _UNITS[unit] for n, unit in _STEP.findall(text))
            return min(total, LONGEST_WAIT)
        return _until(text, headers, now)
    return None
