"""Replies that are whole at once, and the headers by which a run is found again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from tailrace.events import ids
from tailrace.http.request_ids import fresh_id, request_id


def run_headers(run: str) -> dict[str, str]:
    """What every reply about a run carries, so that it can be found on any other surface."""
    return {"x-run-id": ids.run_id(run), **request_id(ids.run_id(run))}


def json_reply(
    body: bytes, *, status: int = 200, run: str = "", more: Mapping[str, str] | None = None
) -> Response:
    """A JSON document; with `run`, under its headers; with `more` headers."""
    headers = {**(run_headers(run) if run else request_id(fresh_id())), **(more or {})}
    return Response(body, status, headers, media_type="application/json")


def document(value: object, *, run: str = "") -> Response:
    """A JSON document from a value."""
    return json_reply(msgspec.json.encode(value), run=run)
