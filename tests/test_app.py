"""tailrace as a library: agents in Python, mounted into another app, or served by the command line."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount
from starlette.testclient import TestClient

import tailrace
from tailrace.errors import ConfigError
from tailrace.log.stores.sqlite.store import SqliteStore
from tests.support.servers import ChildServer

MODULE = """
import tailrace

app = tailrace.App(data="kept")

@app.agent("shout")
async def shout(run: tailrace.Run):
    for word in run.input.split():
        yield word.upper() + " "
"""


async def echo(run: tailrace.Run) -> AsyncGenerator[Any, None]:
    yield run.text(run.input)


@pytest.mark.req("R135")
async def test_it_mounts_into_any_app(tmp_path: Path) -> None:
    app = tailrace.App(data=tmp_path)
    app.agent("echo")(echo)
    app.add("again", echo)
    outer = Starlette(routes=[Mount("/agents", app.asgi())])
    transport = httpx.ASGITransport(outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://t/agents") as client:
        for name in ("echo", "again"):
            reply = await client.post("/v1/responses", json={"model": name, "input": "hello"})
            assert reply.json()["output"][0]["content"][0]["text"] == "hello"
        models = (await client.get("/v1/models")).json()["data"]
    await app.close()
    assert [model["id"] for model in models] == ["echo", "again"]


@pytest.mark.req("R135")
async def test_the_session_routes_stand_alone_too(tmp_path: Path) -> None:
    app = tailrace.App(data=tmp_path)
    app.agent("echo")(echo)
    outer = Starlette(routes=app.stream_routes("/talk"))
    transport = httpx.ASGITransport(outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        reply = await client.post("/talk", json={"message": "hello"})
        again = await client.get(f"/talk/{reply.headers['x-session-id']}")
    await app.close()
    assert reply.text == again.text
    assert '"delta":"hello"' in reply.text


def test_it_serves_from_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_agents.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    server = ChildServer(tmp_path).start(source="my_agents:app")
    try:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="x")
        made = client.responses.create(model="shout", input="be loud")
        client.close()
        assert made.output_text == "BE LOUD "
        assert list((tmp_path / "kept").iterdir())
    finally:
        server.kill()


async def of_text(text: str) -> AsyncGenerator[Any, None]:
    yield text


async def of_nothing() -> AsyncGenerator[Any, None]:
    yield ""


async def of_two(run: tailrace.Run, more: int) -> AsyncGenerator[Any, None]:
    yield more


class Poet:
    async def __call__(self, run: tailrace.Run) -> AsyncGenerator[Any, None]:
        yield run.input

    async def speak(self, run: tailrace.Run) -> AsyncGenerator[Any, None]:
        yield run.input


@functools.wraps(echo)
def wrapped(run: tailrace.Run) -> AsyncGenerator[Any, None]:
    return echo(run)


FAULTS: list[tuple[Any, str]] = [
    (3, "it is not a function of an agent"),
    (Poet, "it is not a function of an agent"),
    (lambda run: None, "it is a plain function: write 'async def', or yield the answer"),
    (of_nothing, "it must take the run and nothing else: too many positional arguments"),
    (of_two, "it must take the run and nothing else: missing a required argument: 'more'"),
    (of_text, "it takes a str, and an agent is given a tailrace.Run"),
]


@pytest.mark.parametrize(("thing", "message"), FAULTS)
def test_what_cannot_be_an_agent_is_refused_at_once(thing: Any, message: str) -> None:
    app = tailrace.App()
    with pytest.raises(ConfigError, match=f"x: {message}"):
        app.agent("x")(thing)
    with pytest.raises(ConfigError, match="is not an agent"):
        app.add("x", thing)
    assert not app.names


@pytest.mark.parametrize(
    "thing",
    [echo, Poet(), Poet().speak, wrapped, functools.partial(of_two, more=1)],
    ids=["function", "object", "method", "wrapped", "partial"],
)
async def test_whatever_makes_an_async_generator_of_a_run_is_an_agent(
    thing: Any, tmp_path: Path
) -> None:
    app = tailrace.App(data=tmp_path)
    app.agent("x")(thing)
    app.add("y", thing)
    async with client_of(app, Mount("/", app.asgi())) as client:
        for name in ("x", "y"):
            reply = await client.post("/v1/responses", json={"model": name, "input": "hello"})
            assert reply.json()["status"] in ("completed", "failed")
    await app.close()


TAKEN = """
[models.m]
dialect = "echo"
[agents.a]
model = "m"
id = 7
[workflows.w]
id = 8
nodes = [{ id = "n", type = "deep_agent", agent = "a" }]
"""
NAMES: list[tuple[Any, str]] = [
    ("a b", "not a valid name"),
    ("", "not a valid name"),
    ("-x", "not a valid name"),
    ("x" * 65, "not a valid name"),
    (echo, "needs a name"),
    (None, "needs a name"),
    ("x", "something named 'x' already"),
    ("m", "something named 'm' already"),
    ("a", "something named 'a' already"),
    ("w", "something named 'w' already"),
    ("7", "something named '7' already"),
    ("8", "something named '8' already"),
]


@pytest.mark.parametrize(("name", "message"), NAMES, ids=lambda value: str(value)[:12])
def test_a_name_that_cannot_be_one_is_refused_at_once(
    name: Any, message: str, tmp_path: Path
) -> None:
    (tmp_path / "tailrace.toml").write_text(TAKEN, encoding="utf-8")
    app = tailrace.App(tmp_path / "tailrace.toml")
    app.add("x", echo)
    with pytest.raises(ConfigError, match=message):
        app.agent(name)
    with pytest.raises(ConfigError, match=message):
        app.add(name, echo)


# one application


@asynccontextmanager
async def client_of(
    app: tailrace.App, *routes: BaseRoute
) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of a Starlette application with these routes."""
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


class Counted:
    """Counts how often stores are opened and closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = self.closed = 0
        really_open, really_close = SqliteStore.open, SqliteStore.close

        async def open(store: SqliteStore) -> None:
            await really_open(store)
            self.opened += 1

        async def close(store: SqliteStore) -> None:
            await really_close(store)
            self.closed += 1

        monkeypatch.setattr(SqliteStore, "open", open)
        monkeypatch.setattr(SqliteStore, "close", close)


@pytest.mark.req("R135")
@pytest.mark.parametrize("by", ["lifespan", "request"])
async def test_whatever_is_served_of_an_app_is_one_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    counted = Counted(monkeypatch)
    app = tailrace.App(data=tmp_path)
    app.agent("echo")(echo)
    routes = [Mount("/a", app.asgi()), Mount("/b", app.asgi()), *app.stream_routes("/talk")]
    for life in (1, 2):  # an app may be served again, as test clients do
        async with (
            app.lifespan() if by == "lifespan" else nullcontext(),
            client_of(app, *routes) as client,
        ):
            made = await asyncio.gather(
                client.post("/a/v1/responses", json={"model": "echo", "input": "hello"}),
                client.post("/talk", json={"message": "hello"}),
                client.post("/b/v1/responses", json={"model": "echo", "input": "hello"}),
            )
            assert [reply.status_code for reply in made] == [200, 200, 200]
            for id in (made[0].json()["id"], made[2].json()["id"]):
                for mount in ("a", "b"):
                    found = await client.get(f"/{mount}/v1/responses/{id}")
                    assert found.json()["output"][0]["content"][0]["text"] == "hello"
            assert (counted.opened, counted.closed) == (life, life - 1)
        await asyncio.gather(app.close(), app.close())
        assert (counted.opened, counted.closed) == (life, life)


async def test_an_agent_may_be_added_until_the_app_is_served(tmp_path: Path) -> None:
    app = tailrace.App(data=tmp_path)
    routes = [Mount("/a", app.asgi()), *app.stream_routes("/talk")]
    app.agent("late")(echo)
    async with client_of(app, *routes) as client:
        reply = await client.post("/talk", json={"message": "hello"})
        assert '"delta":"hello"' in reply.text
        with pytest.raises(ConfigError, match="'later' comes too late"):
            app.agent("later")
    await app.close()


async def test_a_request_is_503_while_the_store_cannot_be_opened(
    tmp_path: Path,
) -> None:
    """Another process has the stores open; when it releases them, the next request opens them."""
    app, other = tailrace.App(data=tmp_path), tailrace.App(data=tmp_path)
    app.agent("echo")(echo)
    async with client_of(app, Mount("/", app.asgi())) as client:
        async with other.lifespan():
            reply = await client.get("/v1/models")
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert (await client.get("/v1/models")).status_code == 200
    await app.close()


async def test_an_asgi_server_runs_its_lifespan(tmp_path: Path) -> None:
    app = tailrace.App(data=tmp_path)
    app.agent("echo")(echo)
    with TestClient(app.asgi()) as client:
        made = client.post("/v1/responses", json={"model": "echo", "input": "hello"}).json()
    with TestClient(app.asgi()) as client:
        assert client.get(f"/v1/responses/{made['id']}").json()["status"] == "completed"


def test_the_package_has_no_other_public_names() -> None:
    with pytest.raises(AttributeError):
        _ = tailrace.Nonsense


def test_no_framework_is_imported_before_an_agent_of_it_is_there() -> None:
    frameworks = (
        "pydantic_ai",
        "langgraph",
        "langchain_core",
        "agents",
        "openai",
        "mcp",
        "nats",
        "jwt",
    )
    look = (
        "import sys, tailrace.app, tailrace.cli.main; "
        f"print([name for name in {frameworks} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
