"""A request with Anthropic's version header gets errors in Anthropic's form on every route of a model's
surfaces; unknown parameters are refused by name on the routes that are ours."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.http import openapi
from tests.http.conftest import Ask

VERSION = {"anthropic-version": "2023-06-01"}
HELLO = [{"role": "user", "content": "Hi"}]
CHAT = {"model": "echo", "messages": HELLO}
ERRORS: dict[str, tuple[str, str, Any, dict[str, str], int, str]] = {
    "no model of ours": ("GET", "/v1/models/nobody", None, {}, 404, "not_found_error"),
    "no agent of ours": ("GET", "/agent/99/models", None, {}, 404, "not_found_error"),
    "no route": ("GET", "/v1/nothing", None, {}, 404, "not_found_error"),
    "no route at all": ("GET", "/nothing", None, {}, 404, "not_found_error"),
    "another method": ("DELETE", "/v1/models", None, {}, 405, "not_found_error"),
    "another method of messages": ("GET", "/v1/messages", None, {}, 405, "not_found_error"),
    "no response": ("GET", "/v1/responses/resp_x", None, {}, 404, "not_found_error"),
    "a bad body": ("POST", "/v1/chat/completions", b"{", {}, 400, "invalid_request_error"),
    "too large": ("POST", "/v1/messages", b" " * 100_001, {}, 413, "request_too_large"),
    "too large elsewhere": ("POST", "/v1/responses", b" " * 100_001, {}, 413, "request_too_large"),
    "refused on purpose": (
        "POST",
        "/v1/chat/completions",
        {**CHAT, "n": 2},
        {},
        422,
        "invalid_request_error",
    ),
    "encoded in nobody's way": (
        "POST",
        "/v1/messages",
        b"x",
        {"content-encoding": "br"},
        415,
        "invalid_request_error",
    ),
    "a page of somebody's": (
        "POST",
        "/v1/messages",
        {},
        {"origin": "http://evil.test"},
        403,
        "permission_error",
    ),
    "a bad page of models": ("GET", "/v1/models?limit=0", None, {}, 400, "invalid_request_error"),
    "a page after nobody": (
        "GET",
        "/v1/models?after_id=nobody",
        None,
        {},
        400,
        "invalid_request_error",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_the_form_of_the_client(ask: Ask, name: str) -> None:
    method, path, body, headers, status, kind = ERRORS[name]
    got = ask(method, path, body, {**headers, **VERSION})
    assert got.status == status
    assert (got.json["type"], got.error["type"]) == ("error", kind)
    assert got.json["request_id"] == got.headers["request-id"]
    if "messages" not in path and "?" not in path:
        other = ask(method, path, body, headers)
        assert other.status == status
        assert "type" not in other.json
        assert "code" in other.error


def test_models_are_listed_in_the_form_of_the_client(ask: Ask) -> None:
    theirs: Any = ask("GET", "/v1/models", None, VERSION).json
    ours: Any = ask("GET", "/v1/models").json
    names = [model["id"] for model in ours["data"]]
    assert ours["object"] == "list"
    assert [model["id"] for model in theirs["data"]] == names
    assert (theirs["first_id"], theirs["last_id"]) == (names[0], names[-1])
    assert theirs["has_more"] is False
    one = ask("GET", f"/v1/models/{names[0]}", None, VERSION).json
    assert one == theirs["data"][0]
    assert (one["type"], one["display_name"]) == ("model", names[0])
    here: Any = ask("GET", "/agent/7/models", None, VERSION).json
    assert [model["id"] for model in here["data"]] == ["helper"]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_of_models_hold_each_once(ask: Ask, limit: int) -> None:
    names = [m["id"] for m in ask("GET", "/v1/models", None, VERSION).json["data"]]  # type: ignore[attr-defined]
    found: list[str] = []
    more, after = True, ""
    while more:
        page: Any = ask("GET", f"/v1/models?limit={limit}{after}", None, VERSION).json
        found += [model["id"] for model in page["data"]]
        more, after = page["has_more"], f"&after_id={page['last_id']}"
    assert found == names
    last: Any = ask("GET", f"/v1/models?limit={limit}&before_id={names[-1]}", None, VERSION).json
    assert [model["id"] for model in last["data"]] == names[:-1][-limit:]
    assert last["has_more"] == (limit < len(names) - 1)


OWN = (
    "GET /jobs",
    "GET /jobs/{job_id}",
    "GET /jobs/{job_id}/stream",
    "POST /jobs",
    "POST /jobs/{job_id}/input",
    "POST /jobs/{job_id}/cancel",
    "POST /api/stream",
    "GET /api/stream/{session_id}",
    "POST /api/chat",
    "GET /api/chat/{chat_id}/stream",
    "POST /api/chat/{chat_id}/cancel",
    "POST /agui/{agent}",
    "POST /agui/{agent}/cancel",
    "GET /openapi.json",
)


@pytest.mark.parametrize("route", OWN)
@pytest.mark.parametrize("name", ["novel", "starting_after", "Agent", "include[]"])
def test_an_unknown_request_is_refused_by_name(ask: Ask, route: str, name: str) -> None:
    method, path = route.split(" ")
    place = path.replace("{", "").replace("}", "")
    got = ask(method, f"{place}?{name}=1", {} if method == "POST" else None)
    assert got.status == 400
    assert f"Unknown query parameter {name!r}" in got.body.decode()


@pytest.mark.parametrize("route", OWN)
def test_described_parameters_are_accepted(ask: Ask, route: str) -> None:
    method, path = route.split(" ")
    place = path.replace("{", "").replace("}", "")
    for name in openapi.QUERY.get(route, {}):
        got = ask(method, f"{place}?{name}=1", {} if method == "POST" else None)
        assert "Unknown query parameter" not in got.body.decode()


def test_every_route_of_ours_is_among_these(ask: Ask) -> None:
    """A new route is ours, or is listed here as that of another vendor."""
    paths: Any = ask("GET", "/openapi.json").json["paths"]
    found = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    others = ("/v1/", "/agent/", "/healthz", "/readyz")  # a probe may add any parameter
    assert {each for each in found if not each.split(" ")[1].startswith(others)} == set(OWN)


def test_what_a_later_request_wants_included_is(ask: Ask) -> None:
    made = ask("POST", "/v1/responses", {"model": "echo", "input": "Hi"}).json["id"]
    for query in (
        "include[]=reasoning.encrypted_content",
        "include=novel&include_obfuscation=true",
    ):
        assert ask("GET", f"/v1/responses/{made}?{query}").status == 200
