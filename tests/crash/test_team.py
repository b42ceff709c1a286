"""kill -9 at every write boundary of a team: two parallel subagents, a pending approval, one-time tools.

The client sends a request, reads, approves, and reads the rest. Whenever the server dies the client starts
it again and continues from the last event that it has. Events that the client saw must never change, the
tool that must not run twice runs at most once, and finished replies and results are not produced again.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.support import order, strict
from tests.support.crashes import FULL, Client, sampled
from tests.support.forks import Forks
from tests.support.team_files import effects, team_server

ASK = {"model": "lead", "input": "order a hat", "stream": True}
SURE = 6
"""Up to this commit the first server certainly dies; the number of commits of later servers depends on the
load."""
KEY = {"idempotency-key": "one-order"}
AGAIN = ((2,), (1, 20))
"""In the second case the last death follows some progress: a run that is cut off three times without
progress is stopped."""
DEATHS = [
    (number, side, again)
    for number, (which, side) in product(range(1, 37), enumerate(("before", "after")))
    for place, again in enumerate(AGAIN)
    if FULL or (number + which) % 2 == (number // 2 + place) % 2 == 0
]
"""All cases if `FULL`; otherwise each commit once, with the side and the later deaths in turn."""


def _start_run(client: Client) -> str:
    """The run's suffix; the key makes a repeated request a retry of the first one."""
    body = {**ASK, "stream": False, "background": True}
    made = client.call("POST", "/v1/responses", json=body, headers=KEY)
    return str(made.json()["id"]).removeprefix("resp_")


def _approve(client: Client, first: list[bytes]) -> None:
    output = json.loads(strict.data_of(first)[-1])["response"]["output"]
    (asked,) = [item for item in output if item["type"] == "mcp_approval_request"]
    item = int(asked["id"].rsplit("_", 1)[1])
    run = asked["id"].split("_")[1]
    path, answer = f"/jobs/job_{run}/input", {"item": item, "approved": True}
    given = client.call("POST", path, json=answer)
    assert given.status_code in (202, 409), "an answer whose reply was lost counts all the same"


@pytest.mark.req("R9")
@pytest.mark.parametrize(("number", "side", "again"), sampled(DEATHS), ids=str)
def test_a_team_survives_its_servers(
    tmp_path: Path, forks: Forks, number: int, side: str, again: tuple[int, ...]
) -> None:
    """The server dies at commit `number`, the next ones at the commits `again` of their own: 2 or 3 deaths
    per case on average. An undisturbed run takes 29 to 37 commits."""
    deaths = [(each, side) for each in (number, *again)]
    server = team_server(tmp_path)
    client = Client(server, deaths, forks)
    try:
        run = _start_run(client)
        first = client.whole(f"resp_{run}")
        _approve(client, first)
        second = client.whole(f"resp_{run}_2")
        assert client.whole(f"resp_{run}") == first
        assert client.whole(f"resp_{run}_2") == second
        job = client.call("GET", f"/jobs/job_{run}").json()
    finally:
        server.kill()
    for frames in (first, second):
        strict.responses(frames)
        order.check(frames)
    assert job["status"] == "completed"
    assert client.kills or number > SURE
    _check(job, tmp_path)


def _check(job: dict[str, Any], folder: Path) -> None:
    """Every reply and result is in the log once; no item stays incomplete."""
    assert effects(folder, "order") <= 1
    calls = [item for item in job["output"] if item["tool_output"]]
    done = [
        (item["content"]["name"], item["agent_id"])
        for item in calls
        if not item["tool_output"].get("is_error")
    ]
    assert done.count(("task", "MAIN")) == 2
    assert done.count(("find", "researcher")) <= 2
    assert len([name for name, _ in done if name == "find"]) >= 2
    (ordered,) = [item for item in calls if item["content"]["name"] == "order"]
    known = not ordered["tool_output"].get("is_error")
    assert effects(folder, "order") == 1 or not known
    assert job["output_text"].endswith("All is done now.")
    cut = [item for item in job["output"] if item["status"] == "incomplete"]
    assert not cut, "its model says the same again: what a crash cut off has gone on"
