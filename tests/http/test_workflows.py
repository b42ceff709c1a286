"""A workflow over real servers: an agent, a picture, speech, and a type of node that tailrace does not
know."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tailrace import config
from tailrace.assembly import agents, models, tools
from tailrace.errors import ConfigError
from tests.support import strict
from tests.support.media_server import PICTURE, PREVIEW, SPEECH, media_server
from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"

[models.pictures]
dialect = "images"
base_url = "URL"
model = "MODEL"

[models.voices]
dialect = "speech"
base_url = "URL"
model = "voice-1"

[agents.writer]
model = "script"

[workflows.report]
id = 12
nodes = [
  {{ id = "write", type = "deep_agent", agent = "writer", name = "Writer" }},
  {{ id = "cover", type = "image_generation", model = "pictures", needs = ["write"], size = "1k", STREAM }},
  {{ id = "voice", type = "speech", model = "voices", needs = ["write"], voice = "verse" }},
  {{ id = "ping", type = "sonar", depth = 40 }},
]
"""

SONAR = """
from tailrace.events.types import Custom

class Sonar:
    def __init__(self, spec):
        self.depth = spec.options["depth"]

    def registry(self):
        return ()

    async def work(self, context, told):
        context.emit([Custom("sonar.echo", {"depth": self.depth})])
        return True
"""


@pytest.fixture
def media() -> Generator[tuple[str, list[tuple[str, Any]]], None, None]:
    with media_server() as found:
        yield found


def _server(
    folder: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    model: str = "paint-1",
    more: str = "n = 1",
) -> ChildServer:
    """A server into which a package with a node type of its own is installed."""
    (folder / "sonar_node.py").write_text(SONAR, encoding="utf-8")
    info = folder / "sonar-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: sonar\nVersion: 1.0\n", encoding="utf-8")
    points = "[tailrace.nodes]\nsonar = sonar_node:Sonar\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    config = CONFIG.replace("URL", url).replace("MODEL", model).replace("STREAM", more)
    return ChildServer(folder, config=config).start()


def _events(server: ChildServer, job: str) -> list[dict[str, Any]]:
    text = httpx.get(f"{server.url}/jobs/{job}/stream", timeout=20).text
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines]


def _all_of_a_run(server: ChildServer) -> list[dict[str, Any]]:
    """The events of a run of the workflow; the server is stopped."""
    try:
        body = {"agent": "report", "input": "hello"}
        job = httpx.post(f"{server.url}/jobs", json=body).json()["id"]
        return _events(server, job)
    finally:
        server.kill()


@pytest.mark.req("R13")
@pytest.mark.req("R15")
@pytest.mark.req("R28")
@pytest.mark.req("R29")
@pytest.mark.req("R30")
def test_every_node_shows_on_the_native_stream_and_agents_alone_elsewhere(
    tmp_path: Path, media: tuple[str, list[tuple[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = media
    server = _server(tmp_path, url, monkeypatch)
    try:
        body = {"agent": "report", "input": "hello"}
        job = httpx.post(f"{server.url}/jobs", json=body).json()["id"]
        events = _events(server, job)
        client = OpenAI(base_url=f"{server.url}/agent/12", api_key="x")
        response = client.responses.create(model="any", input="hello")
        client.close()
        stream = httpx.get(f"{server.url}/jobs/{job}/stream?as=responses", timeout=20).content
    finally:
        server.kill()
    assert "Traceback" not in server.errors()
    assert events[-1]["payload"]["type"] == "run.completed", events[-1]["payload"]
    nodes = {(e["node_id"], e["node_type"], e["node_name"]) for e in events}
    assert nodes == {
        ("run", "run", "report"),
        ("write", "deep_agent", "Writer"),
        ("cover", "image_generation", "cover"),
        ("voice", "speech", "voice"),
        ("ping", "sonar", "ping"),
    }
    by_type: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        by_type.setdefault(event["payload"]["type"], []).append(event["payload"])
    assert [p["data"] for p in by_type["image.partial"]] == [PREVIEW]
    audio = "".join(p["data"] for p in by_type["audio.delta"])
    assert base64.b64decode(audio) == SPEECH
    contents = [
        p["content"]["content"][0]
        for p in by_type["item.completed"]
        if p["content"]["type"] == "message"
    ]
    assert {"type": "image", "url": f"data:image/png;base64,{PICTURE}"} in contents
    assert {"type": "audio", "data": audio, "format": "mp3"} in contents
    assert by_type["custom"] == [{"type": "custom", "name": "sonar.echo", "data": {"depth": 40}}]
    paths = dict(asked)
    assert paths["/v1/images/generations"]["size"] == "1k"
    assert paths["/v1/audio/speech"]["voice"] == "verse"
    assert "What write made:" in paths["/v1/images/generations"]["prompt"]
    assert "hello" in paths["/v1/audio/speech"]["input"]
    assert {item.type for item in response.output} == {"reasoning", "message", "mcp_call"}
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n")[:-1]]
    strict.responses(frames)
    assert b"image" not in b"".join(frames)


def test_a_picture_may_come_as_one_document(
    tmp_path: Path, media: tuple[str, list[tuple[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _server(tmp_path, media[0], monkeypatch, more="stream = false")
    events = _all_of_a_run(server)
    usage = [e["payload"] for e in events if e["payload"]["type"] == "usage"]
    assert {"type": "usage", "model": "pictures", "input": 7, "output": 11} in usage


def test_a_node_that_fails_is_named(
    tmp_path: Path, media: tuple[str, list[tuple[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _server(tmp_path, media[0], monkeypatch, model="broken")
    events = _all_of_a_run(server)
    end = events[-1]["payload"]
    assert end["type"] == "run.failed"
    assert end["message"] == "Node cover failed: The model server answered 500. (asked 3 times)"


FAULTS = [
    ('{ id = "a", type = "deep_agent", agent = "wroter" }', "unknown agent 'wroter'; did you mean"),
    ('{ id = "a", type = "sonor" }', "unknown type 'sonor'"),
    ('{ id = "a", type = "speech", model = "script" }', "must be of dialect 'speech'"),
    ('{ id = "a", type = "x", needs = ["a"] }', "nodes wait for each other: a"),
    ('{ id = "a", type = "x", needs = ["b"] }', "needs unknown node 'b'"),
    ('{ id = "a", type = "x" }, { id = "a", type = "x" }', "used twice"),
    ('{ type = "x" }', "a node does not fit"),
    ("", "needs at least one node"),
]


@pytest.mark.parametrize(("nodes", "message"), FAULTS)
def test_a_workflow_that_makes_no_sense_is_one_message(
    tmp_path: Path, nodes: str, message: str
) -> None:
    text = '[models.script]\ndialect = "echo"\n[agents.writer]\nmodel = "script"\n'

    def made() -> object:
        found = config.parse(f"{text}[workflows.w]\nnodes = [{nodes}]\n", folder=tmp_path)
        return agents.runtimes(found, models.models(found), tools.mcp_servers(found))

    with pytest.raises(ConfigError, match=message):
        made()
