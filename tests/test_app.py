"""tailrace as a library: agents in Python, mounted into another app, or served by the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from starlette.applications import Starlette
from starlette.routing import Mount

import tailrace
from tailrace.errors import ConfigError
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


FAULTS: list[tuple[Any, str]] = [
    (3, "a builtins.int is no agent"),
    (lambda run: None, "a builtins.function is no agent"),
]


@pytest.mark.parametrize(("thing", "message"), FAULTS)
def test_what_is_no_agent_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tailrace.App().add("x", thing)


def test_a_name_is_taken_once() -> None:
    app = tailrace.App()
    app.add("x", echo)
    for name in ("x", "a b"):
        with pytest.raises(ConfigError):
            app.add(name, echo)


def test_there_is_nothing_else_to_import() -> None:
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
