"""kill -9 at every write of a graph: a subagent, a pending approval, a tool that must not run twice.

Here writes of records count too: checkpoints are records, and log and records are not one transaction.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import order, strict
from tests.support.crashes import Client, killer
from tests.support.forks import Forks, forking
from tests.support.servers import ChildServer

CONFIG = """
[server]
data = "data"
{server}

[agents.lead]
entry = "helper_tools:graph"
"""

AGENTS = '''
from pathlib import Path

from tests.support.langgraph_agents import agent, note_of
from tests.support.specs import send, spec
from tests.support.team import call, say

note = note_of(Path(__file__).parent / "effects.txt")


def find(what: str) -> str:
    """Find a thing."""
    note("find")
    return f"found {what}"


def order(what: str) -> str:
    """Order a thing, which must not happen twice."""
    note("order")
    return f"ordered {what}"


buyer = spec(
    "buyer",
    (say("I find it. "), call("find", what="hat")),
    (call("order", what="hat"),),
    (say("Bought."),),
    tools=(find, order),
    approve=frozenset({"order"}),
)
graph = agent(
    spec("lead", (say("Let me see. "), send("buyer")), (say("All is done now."),), below=(buyer,))
)
'''

ASK = {"model": "lead", "input": "go", "background": True}
KEY = {"idempotency-key": "one-go"}
SURE = 30
"""Up to this commit of the first server, every planned death occurs."""


class _Client(Client):
    def _killer(self, number: int, side: str) -> str:
        return killer(number, side).replace("commit.appends", "True")


@pytest.fixture(scope="module")
def forks() -> Generator[Forks, None, None]:
    with forking(
        "tailrace.runtimes.adapters.langgraph.runtime", "tests.support.langgraph_agents"
    ) as made:
        yield made


@pytest.mark.req("R9")
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(3, 51, 6))
def test_a_graph_survives_its_servers(tmp_path: Path, forks: Forks, number: int, side: str) -> None:
    """The server dies at commit `number`, the next one at its own fourth."""
    server = ChildServer(tmp_path, config=CONFIG, tools=AGENTS)
    client = _Client(server, [(number, side), (4, side)], forks)
    try:
        made = client.call("POST", "/v1/responses", json=ASK, headers=KEY).json()
        run = str(made["id"]).removeprefix("resp_")
        first = client.whole(f"resp_{run}")
        waiting = client.call("GET", f"/jobs/job_{run}").json()
        assert len(waiting["waiting_for"]) == 1, waiting
        (asked,) = waiting["waiting_for"]
        answer = {"item": asked["item"], "approved": True}
        given = client.call("POST", f"/jobs/job_{run}/input", json=answer)
        assert given.status_code in (202, 409), "an answer whose reply was lost counts all the same"
        second = client.whole(f"resp_{run}_2")
        assert client.whole(f"resp_{run}") == first
        job = client.call("GET", f"/jobs/job_{run}").json()
    finally:
        server.kill()
    for frames in (first, second):
        strict.responses(frames)
        order.check(frames)
    assert client.kills == 2 or number > SURE
    _check(job, tmp_path)


def _check(job: dict[str, Any], folder: Path) -> None:
    """Every reply and result is in the log once, and agrees with the effects of the tools."""
    assert job["status"] == "completed", job
    effects = (folder / "effects.txt").read_text(encoding="utf-8").splitlines()
    calls = {
        item["content"]["name"]: item["tool_output"]
        for item in job["output"]
        if item["tool_output"]
    }
    assert list(calls) == ["buyer", "find", "order"]
    for name in ("find", "order"):
        sure = not calls[name].get("is_error")
        assert effects.count(name) == 1 or (effects.count(name) == 0 and not sure)
    assert job["output_text"].endswith("All is done now.")
    said = [
        item["content"]["content"][0]["text"]
        for item in job["output"]
        if item["content"]["type"] == "message" and item.get("status") != "incomplete"
    ]
    assert len(said) == len(set(said)), "a reply that was finished is not made again"
