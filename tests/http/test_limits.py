"""Limits of a token and a tenant as clients see them: the form of each surface, and the headers that SDKs
obey."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tailrace.auth.tokens import Token
from tailrace.cli.tokens import tokens_of
from tailrace.config import Config
from tests.http.test_auth import SURFACES
from tests.support.servers import ChildServer, running, select_a_moment

SERVER = """data = "data"

[limits.token]
readers_per_run = 2

[limits.tenant]
input_bytes = 2000
"""
POSTS = [name for name, (method, _, _) in SURFACES.items() if method == "POST"]
SLOW = {"model": "slow", "input": "a b c d e f g h " * 20, "stream": True, "background": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, server=SERVER) as child:
        wants_keys(child)
        yield child
        assert "Traceback" not in child.errors()


def wants_keys(server: ChildServer) -> None:
    """Create a token, and wait until the server requires one."""
    key(server, "the first")
    while httpx.get(server.url + "/v1/models").status_code == 200:
        select_a_moment()


def key(server: ChildServer, tenant: str, **limits: float) -> dict[str, str]:
    """The header of a new token in a tenant of its own."""
    tokens = tokens_of(Config(), server.folder / "data")
    secret = asyncio.run(tokens.create(Token(id="", name="t", tenant=tenant, limits=limits)))
    return {"authorization": f"Bearer {secret}"}


def ask(server: ChildServer, surface: str, headers: dict[str, str]) -> httpx.Response:
    method, path, body = SURFACES[surface]
    return httpx.request(method, server.url + path, json=body, headers=headers, timeout=20)


def in_its_form(surface: str, reply: httpx.Response) -> str:
    """The message of an error, which must have the form of the surface."""
    document: dict[str, Any] = reply.json()
    if surface == "messages":
        kinds = {429: "rate_limit_error", 413: "request_too_large"}
        assert document["error"]["type"] == kinds[reply.status_code]
        assert document["request_id"] == reply.headers["request-id"]
    if surface == "session":
        return str(document["error"])
    return str(document["error"]["message"])


@pytest.mark.parametrize("surface", SURFACES)
def test_requests_a_minute_on_every_surface(server: ChildServer, surface: str) -> None:
    mine = key(server, f"minute {surface}", requests_per_minute=1)
    assert ask(server, surface, mine).status_code != 429
    reply = ask(server, surface, mine)
    assert reply.status_code == 429
    assert "1 requests a minute" in in_its_form(surface, reply)
    seconds = int(reply.headers["retry-after"])
    assert 50 < seconds <= 60
    assert seconds - 1 < int(reply.headers["retry-after-ms"]) / 1000 <= seconds
    assert "x-should-retry" not in reply.headers
    assert reply.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("surface", POSTS)
def test_input_that_is_too_large_on_every_surface(server: ChildServer, surface: str) -> None:
    _, path, body = SURFACES[surface]
    headers = key(server, "input")
    reply = httpx.post(server.url + path, json={**body, "more": "x" * 2_000}, headers=headers)
    assert reply.status_code == 413
    assert "2000 bytes" in in_its_form(surface, reply)


@pytest.mark.parametrize("surface", ["responses", "chat", "messages", "jobs", "session", "ui"])
def test_runs_at_once_on_every_surface(server: ChildServer, surface: str) -> None:
    mine = key(server, f"runs {surface}", concurrent_runs=1)
    with httpx.stream("POST", server.url + "/v1/responses", json=SLOW, headers=mine) as first:
        run = first.headers["x-run-id"]
        reply = ask(server, surface, mine)
        assert reply.status_code == 429
        assert "1 runs at once" in in_its_form(surface, reply)
        assert reply.headers["retry-after"] == "2"
    assert httpx.get(server.url + "/v1/models", headers=mine).status_code == 200
    gone = httpx.post(f"{server.url}/jobs/{run}/cancel", headers=mine)
    assert gone.status_code == 200, gone.text
    assert ask(server, surface, mine).status_code in (200, 202)


def test_readers_of_a_run(server: ChildServer) -> None:
    mine, theirs = key(server, "readers"), key(server, "readers")
    stream = httpx.stream("POST", server.url + "/v1/responses", json=SLOW, headers=mine)
    with stream as first:
        place = f"{server.url}/jobs/{first.headers['x-run-id']}/stream"
        with httpx.stream("GET", place, headers=mine) as second:
            assert second.status_code == 200
            third = httpx.get(place, headers=mine)
            assert third.status_code == 429
            assert "readers_per_run" in third.json()["error"]["message"]
            with httpx.stream("GET", place, headers=theirs) as other:
                assert other.status_code == 200
        while httpx.get(place, headers=mine, params={"after": 10**6}).status_code == 429:
            select_a_moment()  # until the server has seen the second one leave
        httpx.post(place.replace("/stream", "/cancel"), headers=mine)


def test_the_sdk_waits_for_the_requested_delay(server: ChildServer) -> None:
    mine = key(server, "sdk", requests_per_minute=30)
    client = openai.OpenAI(
        base_url=server.url + "/v1", api_key=mine["authorization"].split()[1], max_retries=1
    )
    client.responses.create(model="echo", input="x")  # the first request is slow
    while httpx.get(server.url + "/v1/models", headers=mine).status_code == 200:
        select_a_moment()
    reply = client.responses.with_raw_response.create(model="echo", input="x")
    assert (reply.retries_taken, reply.status_code) == (1, 200)


def test_a_budget_survives_a_kill_and_the_sdk_does_not_retry(tmp_path: Path) -> None:
    child = ChildServer(tmp_path, server='data = "data"').start()
    try:
        wants_keys(child)
        mine = key(child, "budget", tokens_per_day=2)
        client = openai.OpenAI(
            base_url=child.url + "/v1", api_key=mine["authorization"].split()[1], max_retries=2
        )
        used = client.responses.create(model="echo", input="one two three").usage
        assert used is not None
        assert used.total_tokens >= 2
        child.kill()
        child.start()
        with pytest.raises(openai.RateLimitError) as refused:
            client.responses.create(model="echo", input="x")
        assert refused.value.code == "insufficient_quota"
        reply = refused.value.response
        assert reply.headers["x-should-retry"] == "false"
        assert reply.request.headers["x-stainless-retry-count"] == "0"
        assert ask(child, "responses", key(child, "others")).status_code == 200
        run = httpx.get(child.url + "/jobs", headers=mine).json()["data"][0]["id"]
        read = httpx.get(f"{child.url}/jobs/{run}/stream", headers=mine)
        assert read.status_code == 200, "who has spent all may still read"
    finally:
        child.kill()
