"""Web pages that nobody allowed."""

from __future__ import annotations

import pytest

from tests.http.conftest import Ask

ORIGINS = [
    ("http://evil.example", 403),
    ("null", 403),
    ("http://localhost.evil.example", 403),
    ("http://app.test", 202),
    ("http://localhost:3000", 202),
    ("http://127.0.0.1:5173", 202),
    ("http://[::1]:5173", 202),
]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
def test_a_page_may_start_runs_only_where_it_is_allowed(ask: Ask, origin: str, status: int) -> None:
    headers = {"origin": origin, "content-type": "text/plain"}
    reply = ask("POST", "/jobs", {"agent": "echo", "input": "x"}, headers)
    assert reply.status == status
    if status == 403:
        assert "cors_origins" in reply.error["message"]
