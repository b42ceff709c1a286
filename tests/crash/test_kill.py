"""kill -9 at every write boundary of a run with a tool; the next process and the client continue.

Each case kills the server before or after its N-th commit, restarts it, and lets the client resume where it
stopped. Events that the client saw must never change, sequence numbers must have no gap, a tool whose
result is in the log must not run again, and the run must end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.support import strict
from tests.support.crashes import DONE, FULL, killer, read_rest, read_until_killed
from tests.support.forks import Forks
from tests.support.servers import ChildServer
from tests.support.team_files import effects

DEATHS = [
    (number, side, again)
    for number, (which, side) in product(range(1, 27), enumerate(("before", "after")))
    for place, again in enumerate((0, 1, 3))
    if FULL or (number + which) % 2 == (number // 2 + place) % 3 == 0
]
"""All cases if `FULL`; otherwise each commit once, with the side and the second death in turn."""
BODY = json.dumps({"model": "shopper", "input": "buy a hat", "stream": True}).encode()


@pytest.mark.req("R9")
@pytest.mark.req("R26")
@pytest.mark.parametrize(("number", "side", "again"), DEATHS)
def test_a_killed_server_loses_nothing_a_client_saw(
    tmp_path: Path, forks: Forks, number: int, side: str, again: int
) -> None:
    """`again` also kills the restarted server, at that number of its own commits."""
    outlive(ChildServer(tmp_path), forks, killer, number, side, again)


def outlive(
    server: ChildServer,
    forks: Forks,
    killer: Callable[[int, str], str],
    number: int,
    side: str,
    again: int,
) -> None:
    """Run a server that dies at these commits, and a client that still reads its run to the end."""
    server.start(program=killer(number, side), forks=forks)
    seen: list[bytes] = []
    try:
        run, seen = read_until_killed(server, "POST", "/v1/responses", BODY)
        if not run:
            assert not seen  # no client received a run: nothing was promised
            return
        path = f"/v1/responses/resp_{run}?stream=true"
        if again and seen[-1:] != [DONE]:
            server.start(program=killer(again, side), doomed=True, forks=forks)
            cursor = f"&starting_after={len(seen) - 1}" if seen else ""
            seen += read_until_killed(server, "GET", path + cursor)[1]
        if seen[-1:] == [DONE]:
            server.kill()  # its death may still be due: the writes after the end of a run are commits too
        if server.process is None or server.process.poll() is not None:
            server.start(forks=forks)
        cursor = f"&starting_after={len(seen) - 1}" if seen else ""
        rest = [] if seen[-1:] == [DONE] else read_rest(server.port, path + cursor)
        whole = read_rest(server.port, path)
    finally:
        server.kill()
    assert seen + rest == whole
    assert whole[-1] == DONE
    _check_run(server, whole)


def _check_run(server: ChildServer, whole: list[bytes]) -> None:
    """The run is complete: it is valid, numbered and ended; each tool ran once and the text appears once."""
    strict.responses(whole)
    numbers = [json.loads(data)["sequence_number"] for data in strict.data_of(whole)]
    assert numbers == list(range(len(whole) - 1))
    final = json.loads(strict.data_of(whole)[-1])["response"]
    assert final["status"] == "completed"
    messages = [item for item in final["output"] if item["type"] == "message"]
    said = [part["text"] for item in messages for part in item["content"]]
    assert said == ["First I look. ", "Then I order. ", "All is done now."]
    assert [item["status"] for item in messages] == ["completed"] * 3
    calls = [item for item in final["output"] if item["type"] == "mcp_call"]
    ended = [(call["name"], call["status"]) for call in calls if call["status"] != "incomplete"]
    assert [name for name, _ in ended] == ["find", "order"]
    assert ended[0] == ("find", "completed")
    assert effects(server.folder, "find") >= 1
    assert effects(server.folder, "order") == 1 or (
        ended[1] == ("order", "failed") and effects(server.folder, "order") <= 1
    )
