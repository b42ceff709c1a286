"""The description of the server is correct: all routes, and the required fields of bodies.

`make test-openapi` checks that the server returns only the statuses that the description has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from tailrace import config
from tailrace.assembly import instance as assembly
from tailrace.http import openapi

CONFIG = '[models.echo]\ndialect = "echo"\n[agents.a]\nid = 7\nmodel = "echo"\n'
Ask = Callable[..., httpx.Response]
USER = [{"role": "user", "content": "x"}]
GOOD: dict[str, dict[str, Any]] = {
    # an accepted body, for each route that requires one
    "/jobs": {"agent": "echo", "input": "x"},
    "/api/stream": {"message": "x"},
    "/v1/responses": {"model": "echo", "input": "x"},
    "/v1/chat/completions": {"model": "echo", "messages": USER},
    "/v1/messages": {"model": "echo", "max_tokens": 9, "messages": USER},
    "/v1/messages/count_tokens": {"model": "echo", "messages": USER},
    "/v1/conversations": {"metadata": {"a": "b"}},
    "/api/chat": {
        "id": "c",
        "agent": "echo",
        "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}],
    },
    "/agui/echo": {"threadId": "t", "runId": "r", "messages": [{"id": "m", **USER[0]}]},
}


@pytest.fixture(scope="module")
def ask() -> Generator[Ask]:
    """A server in this process, over memory."""
    loop = asyncio.new_event_loop()
    found = config.parse(CONFIG)
    instance = assembly.assemble(found, assembly.memory_store())
    app = assembly.application(found, instance)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test"
    )

    def asking(method: str, path: str, **more: Any) -> httpx.Response:
        return loop.run_until_complete(client.request(method, path, **more))

    loop.run_until_complete(instance.lifecycle.open())
    asking.__dict__["routes"] = [each for each in app.routes if isinstance(each, Route)]
    yield asking
    loop.run_until_complete(client.aclose())
    loop.run_until_complete(instance.lifecycle.close())
    loop.close()


@pytest.fixture(scope="module")
def described(ask: Ask) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET", "/openapi.json").json()
    return found


def test_the_description_has_exactly_the_routes(ask: Ask, described: dict[str, Any]) -> None:
    served = {
        (method.lower(), each.path.replace(":path}", "}"))
        for each in ask.__dict__["routes"]
        for method in (each.methods or set()) - {"HEAD"}
    }
    told = {(method, path) for path, found in described["paths"].items() for method in found}
    assert told == served
    names = [
        found["operationId"] for path in described["paths"].values() for found in path.values()
    ]
    assert len(set(names)) == len(names)


def test_every_body_and_query_that_is_described_is_some_route_s(described: dict[str, Any]) -> None:
    known = {f"{m.upper()} {path}" for path, found in described["paths"].items() for m in found}
    for name in (*openapi.BODIES, *openapi.QUERY):
        method, _, place = name.partition(" ")
        assert {name, f"{method} /v1{place}"} & known, name


@pytest.mark.parametrize("path", GOOD)
def test_what_a_body_must_have_it_must_have(ask: Ask, described: dict[str, Any], path: str) -> None:
    place = path.replace("/agui/echo", "/agui/{agent}")
    schema = described["paths"][place]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert set(schema["required"]) <= set(GOOD[path]) <= set(schema["properties"])
    assert ask("POST", path, json=GOOD[path]).status_code in (200, 202)
    for name in schema["required"]:
        less = {key: value for key, value in GOOD[path].items() if key != name}
        assert ask("POST", path, json=less).status_code in (400, 404), name
