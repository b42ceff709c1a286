"""A client of `/agui/{agent}` that keeps its thread's messages as AG-UI's `HttpAgent` does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from tests.support import agui, strict
from tests.support.servers import ChildServer

Sent = dict[str, Any]


def user(content: str) -> Sent:
    """A user message."""
    return {"id": "u", "role": "user", "content": content}


class Thread:
    """One thread, whose client keeps its messages as `HttpAgent` does."""

    def __init__(self, server: ChildServer, agent: str, thread: str = "t/1 ü") -> None:
        self.server = server
        self.path = f"/agui/{agent}"
        self.thread = thread
        self.reader = agui.Reader()
        self.messages: list[Sent] = []
        self.run = ""
        self._count = 0

    def body(self, **more: Any) -> Sent:
        """The next run's `RunAgentInput`; runs are called r1, r2 …"""
        self._count += 1
        body = {"threadId": self.thread, "runId": f"r{self._count}", "protocolVersion": "1.0"}
        lists: Sent = {"tools": [], "context": [], "messages": self.messages}
        return {**body, "state": {}, "forwardedProps": {}, **lists, **more}

    def request(self, path: str, body: Sent) -> tuple[int, bytes]:
        """Status and body of a reply; `run` is the run that the reply names."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("POST", path, json.dumps(body))
            reply = connection.getresponse()
            self.run = reply.headers.get("x-run-id", self.run)
            return reply.status, reply.read()
        finally:
            connection.close()

    def send(self, body: Sent) -> list[bytes]:
        """The frames of a run, checked."""
        status, data = self.request(self.path, body)
        assert status == 200, data
        made = frames(data)
        strict.agui(made)
        return made

    def go(self, content: str = "", **more: Any) -> Sent:
        """Send a message, or continue; returns how the run ended."""
        if content:
            self.messages.append(user(content))
        self.take(self.body(**more))
        return self.reader.ends[-1]

    def take(self, body: Sent) -> list[bytes]:
        """The frames of a run, whose messages are kept."""
        seen = set(self.reader.messages)
        made = self.send(body)
        agui.read(made, self.reader)
        for id, message in self.reader.messages.items():
            if id not in seen:
                self._keep(id, message)
        return made

    def _keep(self, id: str, message: Sent) -> None:
        whose = {k: v for k, v in message.items() if k in ("subagentRunId", "metadata") and v}
        if message["role"] == "tool":
            called = {"toolCallId": message["toolCallId"], "content": message["content"]}
            owner = next(
                n
                for n, each in enumerate(self.messages)
                if message["toolCallId"] in [call["id"] for call in each.get("toolCalls", ())]
            )
            self.messages.insert(owner + 1, {"id": id, "role": "tool", **called, **whose})
            return
        if message["role"] == "activity":
            shown = {name: message[name] for name in ("activityType", "content")}
            self.messages.append({"id": message["messageId"], "role": "activity", **shown})
            return
        sent = {"id": id.removeprefix("reasoning "), "role": message["role"], **whose}
        calls = [self.reader.calls[call] for call in message.get("calls", ())]
        if calls:
            sent["toolCalls"] = [
                {
                    "id": call["toolCallId"],
                    "type": "function",
                    "function": {"name": call["toolCallName"], "arguments": call["arguments"]},
                }
                for call in calls
            ]
        if "content" in message:
            sent["content"] = message["content"]
        self.messages.append(sent)

    def refused(self, **body: Any) -> tuple[int, Sent]:
        """Status and error of a request that starts no run."""
        status, data = self.request(self.path, self.body(**body))
        return status, json.loads(data)["error"]

    def cancel(self, run: str, thread: str = "") -> int:
        """The status of a cancel."""
        named = {"threadId": thread or self.thread, "runId": run}
        return self.request(self.path + "/cancel", named)[0]

    @contextmanager
    def begin(self, body: Sent) -> Generator[tuple[bytes, Callable[[], bytes]], None, None]:
        """A reply that is in progress: its first line, and a function that reads the rest."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.request("POST", self.path, json.dumps(body))
        reply = connection.getresponse()
        try:
            yield reply.readline(), reply.read
        finally:
            connection.close()

    def asked(self) -> Sent:
        """The questions of the last run, from the native surface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request("GET", f"/jobs/{self.run.replace('run_', 'job_')}/stream")
            reply = connection.getresponse()
            while not (line := reply.readline()).startswith(b"data: "):
                pass
            return dict(json.loads(line[len(b"data: ") :])["payload"]["request"])
        finally:
            connection.close()


def frames(data: bytes) -> list[bytes]:
    """The events of a body, without its heartbeats."""
    return [event + b"\n\n" for event in data.replace(b": ping\n", b"").split(b"\n\n")[:-1]]
