"""kill -9 at every write boundary of a run that calls tools of an MCP server, which stays alive.

The tool server records every call that reaches it. One tool declares that it only reads, so a call whose
result was lost is repeated; the other does not, so it is called at most once.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import order, strict
from tests.support.crashes import FULL, Client, sampled
from tests.support.forks import Forks, forking
from tests.support.mcp_servers import McpProcess
from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"
interval_ms = 1

[agents.noter]
model = "script"
mcp = [{{ label = "helper", url = "URL", approval = "never", allow = ["echo", "mixed"] }}]
"""

SCENARIO = """
[[replies]]
steps = [{ text = "I look it up. " }, { call = "echo", arguments = { what = "hat" } }]
[[replies]]
steps = [{ text = "Now I mix. " }, { call = "mixed", arguments = { what = "hat" } }]
[[replies]]
steps = [{ text = "All is done now." }]
"""

ASK = {"model": "noter", "input": "go", "background": True}
KEY = {"idempotency-key": "one-go"}
SURE = 6
"""Up to this commit the first server certainly dies; the number of commits of later servers depends on the
load."""
DEATHS = [
    (number, side)
    for number in range(4, 25)
    for side in ("before", "after")
    if FULL or (number % 2 == 0) == (side == "before")
]
"""All cases if `FULL`; otherwise each commit once, with the side in turn."""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Generator[McpProcess]:
    with McpProcess(tmp_path_factory.mktemp("mcp") / "notes") as process:
        yield process


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with forking("tailrace.runtimes.tools.mcp_session") as made:
        yield made


@pytest.mark.req("R9")
@pytest.mark.parametrize(("number", "side"), sampled(DEATHS))
def test_a_tool_of_an_mcp_server_is_called_once(
    tmp_path: Path, forks: Forks, tools: McpProcess, number: int, side: str
) -> None:
    """The server dies at commit `number`, the next one at its own third; an undisturbed run takes 16 to
    24."""
    before = _calls(tools)
    config = CONFIG.replace("URL", tools.url)
    server = ChildServer(tmp_path, config=config, scenario=SCENARIO)
    client = Client(server, [(number, side), (3, side)], forks)
    try:
        made = client.call("POST", "/v1/responses", json=ASK, headers=KEY).json()
        frames = client.whole(made["id"])
        job = client.call("GET", f"/jobs/job_{made['id'].removeprefix('resp_')}").json()
    finally:
        server.kill()
    assert client.kills or number > SURE
    strict.responses(frames)
    order.check(frames)
    after = _calls(tools)
    _check(job, {name: after[name] - before[name] for name in after})


def _calls(tools: McpProcess) -> dict[str, int]:
    notes = tools.notes.read_text(encoding="utf-8").splitlines()
    return {name: notes.count(f"call {name}") for name in ("echo", "mixed")}


def _check(job: dict[str, Any], made: dict[str, int]) -> None:
    """The calls that reached the tool server agree with those in the log."""
    assert job["status"] == "completed"
    assert job["output_text"].endswith("All is done now.")
    outputs = [
        (item["content"]["name"], bool(item["tool_output"].get("is_error")))
        for item in job["output"]
        if item["tool_output"]
    ]
    assert outputs[0] == ("echo", False)
    assert [name for name, _ in outputs] == ["echo", "mixed"]
    assert made["echo"] >= 1
    assert made["mixed"] == 1 or (made["mixed"] == 0 and outputs[1][1])
