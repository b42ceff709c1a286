"""One run under every name: it is started on one surface, and read, resumed and cancelled on any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tailrace.service.views import VIEWS
from tests.support.servers import ChildServer

WORDS = "so many words that it takes a while to say them all " * 4
USER = {"role": "user", "content": WORDS}
PART = {"id": "m", "role": "user", "parts": [{"type": "text", "text": WORDS}]}

STARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ("/jobs", {"agent": "slow", "input": WORDS}),
    "responses": ("/v1/responses", {"model": "slow", "input": WORDS, "stream": True}),
    "chat": ("/v1/chat/completions", {"model": "slow", "messages": [USER], "stream": True}),
    "messages": (
        "/v1/messages",
        {"model": "slow", "max_tokens": 9, "messages": [USER], "stream": True},
    ),
    "session": ("/api/stream", {"message": WORDS, "agentId": "slow"}),
    "ui": ("/api/chat", {"id": "CHAT", "agent": "slow", "messages": [PART]}),
    "agui": ("/agui/slow", {"threadId": "CHAT", "runId": "r", "messages": [USER]}),
}
CANCELS: dict[str, Callable[[str, str], str]] = {
    "native": lambda run, _: f"/jobs/job_{run}/cancel",
    "responses": lambda run, _: f"/v1/responses/resp_{run}/cancel",
    "ui": lambda _, chat: f"/api/chat/{chat}/cancel",
}
"""Those surfaces that have a way to cancel; the others' runs are cancelled as jobs."""


@contextmanager
def _begun(client: httpx.Client, surface: str, chat: str) -> Iterator[str]:
    """A run that was started on a surface, while the client of that surface reads it."""
    path, body = STARTS[surface]
    name = {"ui": "id", "agui": "threadId"}.get(surface)
    asked = {**body, name: chat} if name else body
    forever = {"x-disconnect-grace": "forever"}
    with client.stream("POST", path, json=asked, headers=forever) as reply:
        assert reply.status_code < 300, reply.read()
        yield reply.headers["x-run-id"].removeprefix("run_")


def _some(client: httpx.Client, path: str, size: int) -> bytes:
    """At least so many bytes of a stream; the client then disconnects."""
    data = b""
    with client.stream("GET", path) as reply:
        assert reply.status_code == 200, reply.read()
        for piece in reply.iter_bytes():
            data += piece
            if len(data) >= size:
                break
    return data


@pytest.mark.parametrize("watched", VIEWS)
@pytest.mark.parametrize("begun", STARTS)
def test_a_run_has_every_name(server: ChildServer, begun: str, watched: str) -> None:
    chat = f"{begun}-{watched}"
    with (
        httpx.Client(base_url=server.url, timeout=20) as client,
        _begun(client, begun, chat) as run,
    ):
        path = f"/jobs/job_{run}/stream?as={watched}"
        seen = _some(client, path, 900)
        again = _some(client, path + "&after=1", 100)
        way = CANCELS.get(watched, CANCELS["native"])
        if watched == "ui" and begun != "ui":  # no request has named it as a chat
            way = CANCELS["native"]
        cancelled = client.post(way(run, chat))
        assert cancelled.status_code == 200, cancelled.text
        whole = client.get(path).content
        job = client.get(f"/jobs/job_{run}").json()
    assert job["status"] == "cancelled"
    beats = {b": ping\n": b"", b"\n\n\n": b"\n\n"}
    for beat, nothing in beats.items():
        seen, again = seen.replace(beat, nothing), again.replace(beat, nothing)
    assert whole.startswith(seen), "what was seen before it was cancelled stands"
    assert again in whole


def test_there_is_a_way_to_begin_on_every_surface() -> None:
    assert set(STARTS) == set(VIEWS)
