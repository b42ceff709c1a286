"""Replies without a stream, and the headers that name a run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from tailrace.events import ids
from tailrace.http.request_ids import fresh_id, request_id


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
