"""Replies without a stream: the ids of their run, and when an SDK retries (docs/adr/0008, 0016)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from tailrace.events import ids
from tailrace.events.types import RunEnd, RunFailed
from tailrace.http.request_ids import fresh_id, request_id
from tailrace.protocols.failures import again


def run_headers(run: str) -> dict[str, str]:
    """The headers of every reply about a run: its id on all surfaces."""
    return {"x-run-id": ids.run_id(run), **request_id(ids.run_id(run))}


def json_reply(
    body: bytes, *, status: int = 200, run: str = "", more: Mapping[str, str] | None = None
) -> Response:
    """A reply with a JSON document, the headers of `run` if given, and `more` headers."""
    headers = {**(run_headers(run) if run else request_id(fresh_id())), **(more or {})}
    return Response(body, status, headers, media_type="application/json")


def document(value: object, *, run: str = "") -> Response:
    """A reply with a value as JSON document, and the headers of `run` if given."""
    return json_reply(msgspec.json.encode(value), run=run)


OBEYED_SECONDS = 60
"""SDKs obey a `retry-after` up to this; for a longer one they retry at once."""


def failure_headers(end: RunEnd | None) -> dict[str, str]:
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
