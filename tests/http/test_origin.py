"""Requests from web pages whose origin is not in the list of allowed ones."""

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


HOSTS = [
    ("evil.example", 403),
    ("evil.example:8700", 403),
    ("localhost.evil.example", 403),
    ("0.0.0.0", 403),
    ("[::", 403),
    ("x@evil.example", 403),
    ("127.0.0.1:8700", 200),
    ("LOCALHOST:8700", 200),
    ("[::1]:8700", 200),
    ("app.test", 200),
    ("app.test:8700", 200),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_a_name_that_was_made_to_lead_here_reads_nothing(ask: Ask, host: str, status: int) -> None:
    """DNS rebinding: for the browser the page and this server are one origin, so it sends no `Origin`."""
    reply = ask("GET", "/jobs", None, {"host": host})
    assert reply.status == status
    if status == 403:
        assert "localhost" in reply.error["message"]
        assert reply.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://]"])
def test_an_origin_that_is_none_is_refused(ask: Ask, origin: str) -> None:
    reply = ask("POST", "/jobs", {"agent": "echo", "input": "x"}, {"origin": origin})
    assert reply.status == 403
    assert "cors_origins" in reply.error["message"]
