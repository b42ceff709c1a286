"""kill -9 at every write boundary of a run with a tool; the next process and the client go on.

Each case kills the server before or after its N-th commit, restarts it, and lets the client resume where
it stopped. What it saw must never change, numbers must have no gap, a tool whose result is in the log
must not run again, and the run must end.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from tests.support import strict
from tests.support.servers import ChildServer

KILLER = (Path(__file__).parent / "killing_server.py").read_text(encoding="utf-8")
DONE = b"data: [DONE]\n\n"
BODY = json.dumps({"model": "shopper", "input": "buy a hat", "stream": True}).encode()


def _frames(body: bytes) -> list[bytes]:
    """Whole frames, heartbeats and farewells left out; what was cut off is no frame."""
    *whole, _ = body.split(b"\n\n")
    lines = [
        b"\n".join(ln for ln in frame.split(b"\n") if not ln.startswith(b":")) for frame in whole
    ]
    return [frame + b"\n\n" for frame in lines]


def _read(
    url_port: int, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """A reply's run id and all frames that arrived before the connection ended, however it did."""
    connection = http.client.HTTPConnection("127.0.0.1", url_port, timeout=20)
    data = bytearray()
    run = ""
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        reply = connection.getresponse()
        run = reply.headers.get("x-run-id", "").removeprefix("run_")
        while piece := reply.read1(65536):
            data += piece
    except (http.client.HTTPException, OSError):
        pass  # killed in the middle: what arrived counts
    finally:
        connection.close()
    return run, _frames(bytes(data))


def _effects(server: ChildServer, tool: str) -> int:
    file = server.folder / "effects.txt"
    return file.read_text(encoding="utf-8").split().count(tool) if file.exists() else 0


def _killer(number: int, side: str) -> str:
    first, second = f"'{number}'", f"'{side}'"
    return KILLER.replace("sys.argv.pop(1)", first, 1).replace("sys.argv.pop(1)", second, 1)


def _read_until_killed(
    server: ChildServer, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """Read a stream; when it breaks off, the server has been killed: see it dead."""
    run, frames = _read(server.port, method, path, body)
    if frames[-1:] != [DONE]:
        assert server.process is not None
        server.process.wait(timeout=10)
    return run, frames


@pytest.mark.req("R9")
@pytest.mark.req("R26")
@pytest.mark.parametrize("again", [0, 1, 3])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 27))
def test_a_killed_server_loses_nothing_a_client_saw(
    tmp_path: Path, number: int, side: str, again: int
) -> None:
    """`again` kills the restarted server too, at that commit of its own."""
    server = ChildServer(tmp_path).start(program=_killer(number, side))
    seen: list[bytes] = []
    try:
        run, seen = _read_until_killed(server, "POST", "/v1/responses", BODY)
        if not run:
            assert not seen  # nobody was told of a run: nothing was promised
            return
        path = f"/v1/responses/resp_{run}?stream=true"
        if again and seen[-1:] != [DONE]:
            server.start(program=_killer(again, side), doomed=True)
            cursor = f"&starting_after={len(seen) - 1}" if seen else ""
            seen += _read_until_killed(server, "GET", path + cursor)[1]
        if server.process is None or server.process.poll() is not None:
            server.start()
        cursor = f"&starting_after={len(seen) - 1}" if seen else ""
        _, rest = _read(server.port, "GET", path + cursor)
        _, whole = _read(server.port, "GET", path)
    finally:
        server.kill()
    assert seen + rest == whole
    assert whole[-1] == DONE
    _check_run(server, whole)


def _check_run(server: ChildServer, whole: list[bytes]) -> None:
    """The run is whole: valid, numbered, ended, its tools done once and its text not lost."""
    strict.responses(whole)
    numbers = [json.loads(data)["sequence_number"] for data in strict.data_of(whole)]
    assert numbers == list(range(len(whole) - 1))
    final = json.loads(strict.data_of(whole)[-1])["response"]
    assert final["status"] == "completed"
    messages = [item for item in final["output"] if item["type"] == "message"]
    assert messages[-1]["content"][0]["text"] == "All is done now."
    calls = [item for item in final["output"] if item["type"] == "mcp_call"]
    ended = [(call["name"], call["status"]) for call in calls if call["status"] != "incomplete"]
    assert [name for name, _ in ended] == ["find", "order"]
    assert ended[0] == ("find", "completed")
    assert _effects(server, "find") >= 1
    assert _effects(server, "order") == 1 or (
        ended[1] == ("order", "failed") and _effects(server, "order") <= 1
    )
