"""The modules that a process loads: each command only its own, and a server all that requests need before
it is ready.

The interpreter's own list of imports shows them, in a process of its own.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.servers import ChildServer

IMPORTED = re.compile(r"import time:[^|]*\|[^|]*\| *(\S+)")

EXTRAS = {"agents", "langchain_core", "langgraph", "mcp", "nats", "openai", "pydantic_ai"}
NEVER = EXTRAS | {"anthropic", "cryptography", "httpx", "httpx2", "jsonschema", "jwt", "re2"}
CLIENT = {"aiohttp", "yarl"}
SERVER = {
    "starlette",
    "uvicorn",
    "uvloop",
    "tailrace.assembly.instance",
    "tailrace.runs.supervisor",
}

COMMANDS: list[tuple[list[str], set[str]]] = [
    # a command, and the modules that it does not load
    (["--help"], NEVER | CLIENT | SERVER | {"sqlite3"}),
    (["token", "--help"], NEVER | CLIENT | SERVER | {"sqlite3"}),
    (["token", "list"], NEVER | CLIENT | SERVER | {"markdown_it", "rich"}),
    (["check"], NEVER | CLIENT | {"markdown_it", "rich"}),
    (["runs", "--url", "http://127.0.0.1:9"], NEVER | SERVER | {"sqlite3"}),
]

ASKED = [
    ("/v1/responses", {"model": "helper", "input": "hello", "stream": True}),
    ("/v1/responses", {"model": "echo", "input": "hello"}),
    ("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}),
    (
        "/v1/messages",
        {"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    ),
    ("/jobs", {"agent": "echo", "input": "hello"}),
    ("/v1/responses", {"model": "nobody", "input": "hello"}),
]


def _met(names: set[str], imported: set[str]) -> set[str]:
    """Those of `names`, modules or packages, that were imported."""
    return {name for name in names if any(f"{each}.".startswith(f"{name}.") for each in imported)}


@pytest.mark.parametrize(
    ("arguments", "without"),
    COMMANDS,
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_what_it_needs(
    arguments: list[str], without: set[str], tmp_path: Path
) -> None:
    (tmp_path / "tailrace.toml").write_text('[models.echo]\ndialect = "echo"\n', encoding="utf-8")
    command = [sys.executable, "-X", "importtime", "-m", "tailrace", *arguments]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    imported = set(IMPORTED.findall(ran.stderr))
    assert "tailrace.cli.main" in imported
    assert not _met(without, imported)


def test_a_server_loads_what_it_serves_and_does_so_before_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    server = ChildServer(tmp_path).start(fresh=True)
    try:
        ready = set(IMPORTED.findall(server.errors()))
        with httpx.Client(base_url=server.url, timeout=20) as client:
            for path, body in ASKED:
                assert client.post(path, json=body).status_code in (200, 201, 202, 404)
        later = set(IMPORTED.findall(server.errors())) - ready
    finally:
        server.kill()
    assert "tailrace.http.server" in ready
    assert not _met(NEVER | CLIENT | {"markdown_it", "rich"}, ready | later)
    assert not later
