"""A model server that sends nothing for a long time: the stream begins nevertheless, and sends heartbeats."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import patient
from tests.support.servers import ChildServer
from tests.support.upstreams import HEAD, Peer, upstream

CONFIG = """
[server]
{{server}}
heartbeat_seconds = 0.2

[models.m]
dialect = "chat"
base_url = "{url}"
model = "m"
"""
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "responses": ("/v1/responses", {"input": "hi"}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    ),
}


def begun(port: int, surface: str) -> tuple[int, str, bytes]:
    """A stream until its first heartbeat: its status, its run, and its frames."""
    path, body = ASKED[surface]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(20))
    said = json.dumps({"model": "m", "stream": True, **body})
    connection.request("POST", path, said, {"content-type": "application/json"})
    reply = connection.getresponse()
    data = b""
    while b": ping\n" not in data:
        piece = reply.read1(65536)
        assert piece, "it ended"
        data += piece
    connection.close()
    return reply.status, reply.headers["x-run-id"], data


@pytest.mark.parametrize("said", [b"", HEAD], ids=["not even its head", "its head"])
async def test_a_stream_begins_before_the_first_output_of_its_model(
    tmp_path: Path, said: bytes
) -> None:
    gone: asyncio.Queue[Peer] = asyncio.Queue()

    async def silent(peer: Peer) -> None:
        await peer.send(said)
        await peer.until_gone()
        gone.put_nowait(peer)

    async with upstream(silent) as (url, peers):
        server = ChildServer(tmp_path, config=CONFIG.format(url=url))
        await asyncio.to_thread(server.start)
        try:
            for surface in ASKED:
                status, run, data = await asyncio.to_thread(begun, server.port, surface)
                assert status == 200
                assert run.startswith("run_")
                assert b'"error":{' not in data
        finally:
            server.kill()
        for _ in peers:
            await gone.get()
    assert len(peers) == len(ASKED)
