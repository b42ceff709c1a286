"""Engines are chosen by URL scheme: each has a folder and a line in the registry, and no other module names
it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

import tailrace
from tailrace import config
from tailrace.assembly import instance as assembly
from tailrace.errors import ConfigError
from tailrace.log.stores import registry
from tailrace.log.stores.registry import ENGINES, Engine
from tests.support import toy_engine

ROOT = Path(__file__).parents[3]
STORES = ROOT / "src" / "tailrace" / "log" / "stores"
FOLDERS = {path.name for path in STORES.iterdir() if (path / "__init__.py").exists()}
LIBRARIES = {"nats": "nats", "sqlite": "sqlite3"}
"""Libraries that only one engine needs."""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds one line to the registry."""
    monkeypatch.setitem(ENGINES, "toy", Engine("tests.support.toy_engine", "toy://name"))


def test_every_folder_is_an_engine_and_every_engine_a_folder() -> None:
    modules = {engine.module for engine in ENGINES.values()}
    assert modules == {f"tailrace.log.stores.{folder}.driver" for folder in FOLDERS}
    for url in (registry.DEFAULT, registry.MEMORY):
        assert registry.driver(url)


def test_every_engine_keeps_the_contract() -> None:
    """A factory of the suite names its store, or a file of its own in that folder does."""
    contracts = "".join(path.read_text("utf-8") for path in (ROOT / "tests/contracts").glob("*.py"))
    kept = set(
        re.findall(r"tailrace\.log\.stores\.(\w+)\.store|support import (\w+)_stores", contracts)
    )
    assert {name for pair in kept for name in pair if name} == FOLDERS


def test_only_the_registry_imports_an_engine_by_name() -> None:
    """What import-linter cannot see: the name of a module in a string."""
    named = {
        str(path.relative_to(STORES))
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and str(node.value).startswith("tailrace.log.stores.")
    }
    assert named == {"registry.py"}


@pytest.mark.parametrize("scheme", sorted(ENGINES))
def test_a_driver_is_loaded_without_the_library_of_its_engine(scheme: str) -> None:
    program = (
        "import sys; from tailrace.log.stores import registry\n"
        f"registry.driver('{scheme}:')\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert ENGINES[scheme].module in loaded
    assert not loaded & set(LIBRARIES.values())
    others = {engine.module for engine in ENGINES.values()} - {ENGINES[scheme].module}
    assert not loaded & others


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost", "'http://localhost' is not nats://host:port or tls://…"),
        ("localhost:4222", "'localhost:4222' is not nats://"),
        (",nats://h", "'' is not nats://"),
        ("http://h, nats://h", "'http://h' is not nats://"),
        ("nats://h, http://h", "'http://h' is not nats://"),
        ("http://me:s3cret@h", "address 1 is not nats://"),
        ("http://h,nats://me:s3cret@h", "address 1 is not nats://"),
        ("memory:", "'memory:' is not nats://"),
        ("sqlite:///folder", "'sqlite:///folder' is not nats://"),
        ("toy://name", "'toy://name' is not nats://"),
        ("nats://", "'nats://' is not nats://host:port or tls://…"),
        ("tls://h:port", "'tls://h:port' is not nats://"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.check(url)
    assert str(caught.value).startswith(f"[engine] url: {words}")
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize("url", ["nats://h", "NATS://h:1", " tls://h , nats://me:pass@h:4222"])
def test_an_address_is_accepted(url: str) -> None:
    registry.check(url)


@pytest.mark.usefixtures("toy")
def test_a_new_engine_checks_its_addresses() -> None:
    config.parse('[engine]\nurl = "toy://box"\n', "x.toml", Path())
    with pytest.raises(ConfigError, match="a toy needs a name"):
        config.parse('[engine]\nurl = "toy:"\n', "x.toml", Path())
    with pytest.raises(
        ConfigError, match="'tov:' is not nats://host:port or tls://… or toy://name"
    ):
        config.parse('[engine]\nurl = "tov:"\n', "x.toml", Path())


@pytest.mark.usefixtures("toy")
async def test_a_run_is_kept_by_a_new_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_engine, "STORES", {})
    file = tmp_path / "tailrace.toml"
    file.write_text(
        '[engine]\nurl = "toy://box"\n[models.echo]\ndialect = "echo"\n', encoding="utf-8"
    )
    async with _served(file) as client:
        asked = {"model": "echo", "input": "hello"}
        answer = (await client.post("/v1/responses", json=asked)).json()
        assert answer["status"] == "completed"
    (store,) = toy_engine.STORES.values()
    assert not await store.log.open_runs()
    async with _served(file) as client:  # another server, over the engine behind the same URL
        again = (await client.get(f"/v1/responses/{answer['id']}")).json()
        assert again["output"] == answer["output"]
    assert os.listdir(tmp_path) == [file.name]


@asynccontextmanager
async def _served(file: Path) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client of a server with this configuration, assembled as `tailrace serve` does it."""
    app = tailrace.App(file)
    instance = app.instance()
    await instance.lifecycle.open()
    try:
        transport = httpx.ASGITransport(assembly.application(app.config, instance))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            yield client
    finally:
        await instance.lifecycle.close()
