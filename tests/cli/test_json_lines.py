"""`--json` is JSON: each line of stdout is a document, of every command that has it; errors are on stderr."""

from __future__ import annotations

import json
from collections.abc import Generator

import httpx
import pytest
from typer.main import get_command

from tailrace.cli.main import app
from tailrace.cli.render import JsonLines
from tailrace.service.views import VIEWS
from tests.support.commands import tailrace
from tests.support.servers import ChildServer, running

ASKED = {"run": "helper", "tail": "", "runs": ""}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    with running(tmp_path_factory.mktemp("server")) as child:
        yield child


def run(server: ChildServer, text: str) -> str:
    asked = {"agent": "helper", "input": text}
    job = str(httpx.post(f"{server.url}/jobs", json=asked).json()["id"])
    httpx.get(f"{server.url}/jobs/{job}/stream")
    return job


def lines(*arguments: str, status: int = 0) -> list[object]:
    done = tailrace(*arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout == "" or done.stdout.endswith("\n")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_these_are_the_commands_that_have_it() -> None:
    found = {
        name
        for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
        if any("--json" in option.opts for option in command.params)
    }
    assert found == set(ASKED)


@pytest.mark.parametrize("surface", ["", *VIEWS])
def test_frames_are_documents(server: ChildServer, surface: str) -> None:
    job, shown = run(server, "what hats"), ["--as", surface] if surface else []
    config = str(server.folder / "tailrace.toml")
    local = lines("run", "helper", "what hats", "--config", config, "--json", *shown)
    remote = lines("tail", job, "--url", server.url, "--json", *shown)
    assert len(local) == len(remote) > 3
    assert all(isinstance(each, dict) for each in (*local, *remote))


def test_runs_are_documents(server: ChildServer) -> None:
    job = run(server, "hats")
    assert job in [each["id"] for each in lines("runs", "--url", server.url, "--json")]  # type: ignore[index]


def test_what_goes_wrong_is_no_line(server: ChildServer) -> None:
    config = str(server.folder / "tailrace.toml")
    failed = lines("run", "helper", "fail now", "--config", config, "--json", status=1)
    assert failed[-1]["payload"]["type"] == "run.failed"  # type: ignore[index]
    assert lines("run", "nobody", "x", "--config", config, "--json", status=2) == []
    assert lines("tail", "job_nobody", "--url", server.url, "--json", status=1) == []
    assert lines("tail", "job_nobody", "--url", "http://127.0.0.1:9", "--json", status=1) == []
    assert lines("runs", "--url", "http://127.0.0.1:9", "--json", status=1) == []


def test_a_stream_comes_in_any_pieces() -> None:
    stream = b': hello\n\nid: 0\nevent: x\ndata: {"a": "\xc3\xa4"}\n\ndata: [DONE]\n\n'
    whole = b'{"a": "\xc3\xa4"}\n'
    for cut in range(len(stream)):
        made = JsonLines("chat")
        assert made.feed(stream[:cut]) + made.feed(stream[cut:]) == whole
