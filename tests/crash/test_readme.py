"""kill -9 in the middle of a run of README's own generator, with README's configuration: the run still
ends."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.support.crashes import DONE, killer, read, read_until_killed
from tests.support.forks import Forks
from tests.support.servers import ChildServer
from tests.test_snippets import ALL

BODY = json.dumps({"model": "poet", "input": "rain", "stream": True}).encode()
CODE, ENTRY = (
    next(each.text for each in ALL if each.page == "README.md" and word in each.text)
    for word in ('@app.agent("poet"', "[agents.poet]")
)
DEATHS = [*product((1, 2), ("before", "after"))]
"""The run has two commits: its start, and its complete output."""


@pytest.mark.req("R9")
@pytest.mark.parametrize(("number", "side"), DEATHS)
def test_readmes_generator_outlives_a_kill(
    tmp_path: Path, forks: Forks, number: int, side: str
) -> None:
    (tmp_path / "my_agents.py").write_text(CODE, encoding="utf-8")
    server = ChildServer(tmp_path, config="[server]\n{server}\n" + ENTRY)
    server.start(program=killer(number, side), forks=forks)
    try:
        _, seen = read_until_killed(server, "POST", "/v1/responses", BODY)
        assert seen[-1:] != [DONE], "it was killed before the client had it all"
        server.start(forks=forks)
        runs = [
            job["id"].removeprefix("job_") for job in httpx.get(f"{server.url}/jobs").json()["data"]
        ]
        assert len(runs) == (0 if (number, side) == (1, "before") else 1)
        for run in runs:
            _, whole = read(server.port, "GET", f"/v1/responses/resp_{run}?stream=true")
            _is_whole(whole, seen)
    finally:
        server.kill()


def _is_whole(frames: list[bytes], seen: list[bytes]) -> None:
    assert frames[: len(seen)] == seen
    assert frames[-1] == DONE
    end = json.loads(frames[-2].split(b"\ndata: ")[1])
    assert end["type"] == "response.completed", end
    (message,) = [item for item in end["response"]["output"] if item["type"] == "message"]
    assert message["content"][0]["text"] == "A poem about rain"
