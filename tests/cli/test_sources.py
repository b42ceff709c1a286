"""Every command takes `module:app` where it takes a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import tailrace

APP = """
import tailrace

app = tailrace.App(data="kept")


@app.agent("poet")
async def poet(run: tailrace.Run):
    yield f"A poem about {run.input}"


other = 7
"""
COMMANDS = {
    # the arguments of `tailrace`, and its output
    "check": (("check", "my_agents:app"), "my_agents:app: fine (1 agents, 0 models, 0 workflows)"),
    "run": (
        ("run", "poet", "rain", "--as", "chat", "--config", "my_agents:app"),
        "poem about rain",
    ),
    "token create": (("token", "create", "ann", "--config", "my_agents:app"), "oat_"),
    "token list": (("token", "list", "--config", "my_agents:app"), ""),
    "sweep": (("sweep", "my_agents:app"), "the clock is confirmed"),
    "export": (("export", "runs.jsonl", "--config", "my_agents:app"), "exported: 0 runs"),
    "check --data": (("check", "--data", "my_agents:app"), "kept: fine"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_agents.py").write_text(APP, encoding="utf-8")
    made = tailrace("token", "create", "first", "--config", "my_agents:app", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "kept").is_dir()
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_an_app(folder: Path, name: str) -> None:
    arguments, printed = COMMANDS[name]
    done = tailrace(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("my_agents:other", "a int is not a tailrace.App"),
        ("my_agents:nobody", "nobody"),
        ("nowhere:app", "nowhere"),
        ("missing.toml", "missing.toml"),
        ("my_agents.py", "my_agents.py is Python: name the App in it, for instance my_agents:app"),
    ],
)
def test_an_invalid_app_is_one_message(folder: Path, source: str, told: str) -> None:
    for arguments in (("check", source), ("serve", source), ("token", "list", "--config", source)):
        done = tailrace(*arguments, folder=folder)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert told in line
