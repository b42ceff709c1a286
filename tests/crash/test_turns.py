"""kill -9 between any two writes of a turn: the conversation has each turn once, complete and in order.

The client sends each turn again, as the same request, until it has the complete reply; it does nothing
else. Afterwards no turn may be missing or doubled, each model request must have contained all earlier
turns, and a client that reads the conversation gets its last turn (issue 13, 6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from tailrace.runs.conversations import named_id
from tailrace.runs.owner import Owner
from tests.support import clusters
from tests.support.crashes import FULL, sampled
from tests.support.forks import Forks
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.patience import patient
from tests.support.servers import ChildServer

PROGRAM = (Path(__file__).parent / "killing_anywhere.py").read_text(encoding="utf-8")
CONFIG = """
[server]
{server}

[models.echo]
dialect = "echo"
"""
SAID = ("first", "second", "third")
LOCAL = Owner("local")


def killer(number: int, side: str) -> str:
    first, second = f"'{number}'", f"'{side}'"
    return PROGRAM.replace("sys.argv.pop(1)", first, 1).replace("sys.argv.pop(1)", second, 1)


class Talk:
    """A client of one surface, and a conversation on it."""

    def __init__(self, server: ChildServer, surface: str, forks: Forks) -> None:
        self.server = server
        self.surface = surface
        self.replies: list[httpx.Response] = []
        self._forks = forks
        self._conversation = ""

    @property
    def conversation(self) -> str:
        """The id of the conversation on `/v1`."""
        return self._conversation or named_id("talk", LOCAL)

    def begin(self) -> None:
        """Create the conversation, if the surface needs a request for it."""
        if self.surface == "conversation":
            key = {"idempotency-key": "made"}
            self._conversation = self.until("POST", "/v1/conversations", {}, key).json()["id"]

    def say(self, number: int) -> httpx.Response:
        """Send a turn until its complete reply has arrived."""
        path, body = self._turn(number)
        reply = self.until("POST", path, body, {"idempotency-key": f"turn {number}"})
        self.replies.append(reply)
        return reply

    def _turn(self, number: int) -> tuple[str, Mapping[str, Any]]:
        text = SAID[number]
        user = {"role": "user", "content": text}
        match self.surface:
            case "session":
                return "/api/stream", {"message": text, "sessionId": "talk", "agentId": "echo"}
            case "ui":
                part = {"type": "text", "text": text}
                message = {"id": f"m{number}", "role": "user", "parts": [part]}
                return "/api/chat?agent=echo", {"id": "talk", "messages": [message]}
            case "chat":
                turn = {"model": "echo", "messages": [user], "conversation_id": "talk"}
                return "/v1/chat/completions", turn
            case "ag-ui":
                turn = {"threadId": "talk", "runId": f"run {number}", "messages": []}
                return "/agui/echo", {**turn, "messages": [{**user, "id": f"m{number}"}]}
            case "conversation":
                turn = {"model": "echo", "input": text, "conversation": self._conversation}
                return "/v1/responses", {**turn, "stream": number == 1}
            case _:
                last = self.replies[-1].json()["id"] if self.replies else None
                return "/v1/responses", {
                    "model": "echo",
                    "input": text,
                    "previous_response_id": last,
                }

    def until(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The complete reply to a request, which is sent until there is one; a dead server is started
        again."""
        while True:
            try:
                reply = httpx.request(
                    method, self.server.url + path, json=body, headers=headers, timeout=20
                )
            except httpx.HTTPError:
                assert self.server.process is not None
                self.server.process.wait(timeout=patient(10))
                self.server.start(forks=self._forks)
                continue
            if reply.status_code != 503:
                assert reply.status_code == 200, reply.text
                return reply

    def items(self) -> list[str]:
        """The texts of user and assistant in the conversation."""
        path = f"/v1/conversations/{self.conversation}/items?order=asc"
        data = self.until("GET", path).json()["data"]
        return [item["content"][0]["text"] for item in data]

    def runs(self) -> list[str]:
        """The input of every run that exists, in order."""
        jobs = self.until("GET", "/jobs").json()["data"]
        return [self.until("GET", f"/jobs/{job['id']}").json()["output_text"] for job in jobs][::-1]


def talk(server: ChildServer, surface: str, forks: Forks, number: int, side: str) -> None:
    """Three turns over a server that dies at that write."""
    server.start(program=killer(number, side), doomed=True, forks=forks)
    try:
        client = Talk(server, surface, forks)
        client.begin()
        for turn in range(len(SAID)):
            client.say(turn)
        _check(client)
    finally:
        server.kill()


def _check(client: Talk) -> None:
    assert client.runs() == list(SAID), "each turn is one run"
    if client.surface == "previous":
        last = client.replies[-1].json()["id"]
        counted = client.until("POST", "/v1/responses/input_tokens", {"previous_response_id": last})
        assert counted.json()["input_tokens"] > 0
        data = client.until("GET", f"/v1/responses/{last}").json()
        assert data["output"][0]["content"][0]["text"] == SAID[-1]
        return
    assert client.items() == [text for text in SAID for _ in range(2)], "with its reply, in order"
    if client.surface == "session":
        shown = client.until("GET", "/api/stream/talk")
        assert shown.text == client.replies[-1].text, "the last turn's lines, and no other's"
        for reply in client.replies:
            run = reply.headers["x-run-id"]
            assert client.until("GET", f"/api/stream/talk?run={run}").text == reply.text
    if client.surface == "ui":
        shown = client.until("GET", "/api/chat/talk/stream?after=0")
        assert SAID[-1] in shown.text


SURFACES = ("session", "ui", "chat", "ag-ui", "conversation", "previous")
WRITES = range(2, 22)
MESSAGES = range(1, 46)


def deaths(numbers: Sequence[int], every: int) -> list[tuple[int, str, str]]:
    """All cases, or each write with some of the surfaces in turn."""
    moments = enumerate(product(numbers, ("before", "after")))
    return [
        (number, side, surface)
        for count, (number, side) in moments
        for place, surface in enumerate(SURFACES)
        if FULL or (count + place) % every == 0
    ]


@pytest.mark.parametrize(("number", "side", "surface"), sampled(deaths(WRITES, 12)))
def test_a_turn_is_one_fact(
    tmp_path: Path, forks: Forks, number: int, side: str, surface: str
) -> None:
    talk(ChildServer(tmp_path, config=CONFIG), surface, forks, number, side)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as made:
        yield made


@pytest.mark.parametrize(("number", "side", "surface"), sampled(deaths(MESSAGES, 45)))
def test_a_turn_is_one_fact_over_nats(
    nodes: Sequence[Node], tmp_path: Path, forks: Forks, number: int, side: str, surface: str
) -> None:
    config = asyncio.run(clusters.config(nodes, CONFIG))
    talk(ChildServer(tmp_path, config=config), surface, forks, number, side)
