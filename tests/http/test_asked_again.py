"""A yes that is asked for again after a crash: the yes from before the crash does not count for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.servers import ChildServer, select_a_moment

CONFIG = """
[server]
data = "data"
{server}

[models.script]
dialect = "script"
scenario = "scenario.toml"

[agents.payer]
id = 9
model = "script"
tools = ["helper_tools:pay"]
"""
SCENARIO = """
[[replies]]
steps = [{ call = "pay", arguments = {} }]
[[replies]]
steps = [{ text = "Paid." }]
"""
TOOLS = '''"""A payment that hangs when it is made for the first time."""

import asyncio
from pathlib import Path

from tailrace import tool


@tool(approval=True, after_crash="ask")
async def pay() -> str:
    """Pay."""
    begun = Path(__file__).parent / "begun"
    if not begun.exists():
        begun.touch()
        await asyncio.Event().wait()
    return "paid"
'''
Sent = tuple[str, Any]


class Asked:
    """The run, and how one surface shows that it is asked for a yes, and takes it."""

    def __init__(self, server: ChildServer) -> None:
        self.url = server.url
        created = httpx.post(self.url + "/jobs", json={"agent": "payer", "input": "pay"})
        self.job: str = created.json()["id"]
        self.suffix = self.job.removeprefix("job_")

    def read(self) -> Any:
        return httpx.get(f"{self.url}/jobs/{self.job}").json()

    def until(self, status: str) -> None:
        while self.read()["status"] != status:
            select_a_moment()

    def responses(self, mount: str, time: int) -> Sent:
        name = f"resp_{self.suffix}" + ("_2" if time == 2 else "")
        shown = httpx.get(f"{self.url}{mount}/responses/{name}").json()["output"][-1]
        assert shown["type"] == "mcp_approval_request"
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": shown["id"],
            "approve": True,
        }
        body = {"model": "payer", "previous_response_id": name, "input": [answer]}
        return f"{mount}/responses", body

    def native(self, _: int) -> Sent:
        (waits,) = self.read()["waiting_for"]
        answer = {name: waits[name] for name in ("item", "asked") if name in waits}
        return f"/jobs/{self.job}/input", {**answer, "approved": True}

    def ui(self, time: int) -> Sent:
        said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "pay"}]}
        given = {"id": self._streamed("ui", time), "approved": True}
        body = {"id": "c", "agent": "payer", "messages": [said], "approvals": [given]}
        return "/api/chat", body

    def agui(self, time: int) -> Sent:
        resumed = {"interruptId": self._streamed("agui", time), "status": "resolved"}
        body = {"threadId": "t", "runId": f"r{time}", "messages": []}
        return "/agui/payer", {**body, "resume": [{**resumed, "payload": True}]}

    def _streamed(self, surface: str, time: int) -> str:
        """The id in the frame that asks for the `time`th time."""
        path = f"{self.url}/jobs/{self.job}/stream?as={surface}"
        with httpx.stream("GET", path, timeout=20) as stream:
            frames = (re.search('"(apr_[^"]+)"', line) for line in stream.iter_lines())
            found = filter(None, frames)
            return [next(found)[1] for _ in range(time)][-1]


SURFACES: dict[str, Callable[[Asked, int], Sent]] = {
    "responses": lambda asked, time: asked.responses("/v1", time),
    "agent's mount": lambda asked, time: asked.responses("/agent/9", time),
    "native": Asked.native,
    "ui": Asked.ui,
    "ag-ui": Asked.agui,
}


def _post(url: str, sent: Sent) -> int:
    """The status of the reply; of a stream that shows what follows, no more is read."""
    with httpx.stream("POST", url + sent[0], json=sent[1], timeout=20) as reply:
        return reply.status_code


@pytest.mark.parametrize("surface", SURFACES)
def test_a_yes_of_before_a_crash_is_not_a_yes_to_the_next_request(
    tmp_path: Path, surface: str
) -> None:
    server = ChildServer(tmp_path, config=CONFIG, scenario=SCENARIO, tools=TOOLS).start()
    try:
        asked = Asked(server)
        asked.until("waiting")
        first = SURFACES[surface](asked, 1)
        sent = {**first[1], "stream": True} if "responses" in first[0] else first[1]
        assert _post(server.url, (first[0], sent)) in (200, 202)
        while not (tmp_path / "begun").exists():
            select_a_moment()
        server.kill()
        server.start()
        asked.until("waiting")
        again = {**first[1], "runId": "another"} if surface == "ag-ui" else first[1]
        assert _post(server.url, (first[0], again)) == 409
        assert asked.read()["status"] == "waiting"
        assert _post(server.url, SURFACES[surface](asked, 2)) in (200, 202)
        asked.until("completed")
        assert asked.read()["output_text"] == "Paid."
    finally:
        server.kill()
