"""Approval of a call is requested again after a crash: the approval from before the crash does not apply."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

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
TOOLS = '''"""A payment that hangs when a run makes it for the first time."""

import asyncio
from pathlib import Path

from tailrace import ToolContext, tool


@tool(approval=True, after_crash="ask")
async def pay(call: ToolContext) -> str:
    """Pay."""
    begun = Path(__file__).parent / f"begun.{call.run}"
    if not begun.exists():
        begun.touch()
        await asyncio.Event().wait()
    return "paid"
'''
Sent = tuple[str, Any]


class Asked:
    """The run, and how one surface shows that approval is requested, and takes the answer."""

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
        """The id in the frame that requests the approval for the `time`th time."""
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
    """The status of the reply. If the reply is a stream, its body is not read."""
    with httpx.stream("POST", url + sent[0], json=sent[1], timeout=20) as reply:
        return reply.status_code


def test_an_approval_before_a_crash_does_not_answer_the_next_request(tmp_path: Path) -> None:
    server = ChildServer(tmp_path, config=CONFIG, scenario=SCENARIO, tools=TOOLS).start()
    try:
        runs = {surface: Asked(server) for surface in SURFACES}
        first: dict[str, Sent] = {}
        for surface, run in runs.items():
            run.until("waiting")
            first[surface] = SURFACES[surface](run, 1)
            assert _post(server.url, _streamed(first[surface])) in (200, 202)
        while len(list(tmp_path.glob("begun.*"))) < len(runs):
            select_a_moment()
        server.kill()
        server.start()
        for run in runs.values():
            run.until("waiting")
        old = {surface: _post(server.url, _renamed(sent)) for surface, sent in first.items()}
        assert old == dict.fromkeys(SURFACES, 409), "who sends it must hear that it is asked again"
        for surface, run in runs.items():
            assert run.read()["status"] == "waiting", surface
            assert _post(server.url, SURFACES[surface](run, 2)) in (200, 202), surface
            run.until("completed")
            assert run.read()["output_text"] == "Paid."
    finally:
        server.kill()


def _streamed(sent: Sent) -> Sent:
    """Request a stream of Responses: a reply that is not a stream would be complete only after the crash."""
    path, body = sent
    return path, {**body, "stream": True} if path.endswith("/responses") else body


def _renamed(sent: Sent) -> Sent:
    """The request under another name, on a surface where requests have names: the same name would attach to
    the first request."""
    path, body = sent
    return path, {**body, "runId": "another"} if "runId" in body else body
