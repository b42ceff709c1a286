"""The addresses of a name may change between the check and the connection: the client connects to the
checked address."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from tailrace.errors import ToolSourceFailed
from tailrace.runtimes.tools.mcp import McpServer
from tailrace.runtimes.tools.mcp_endpoint import Endpoint
from tailrace.runtimes.tools.mcp_transport import MAX_BODY
from tests.support.rebinding import GOOD, NAME, rebinding
from tests.support.upstreams import Peer, Serve, upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


async def test_an_mcp_client_connects_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rebinding(monkeypatch, 403) as (port, asked):
        server = McpServer(Endpoint(label="test", url=f"http://{NAME}:{port}/mcp"), timeout=20)
        with pytest.raises(ToolSourceFailed):
            await server.tools()
        await server.close()
        assert set(asked) == {GOOD}


async def without_end(peer: Peer) -> None:
    await peer.send(HEAD + b'{"jsonrpc": "2.0", "id": 1, "result": {"x": "')
    for _ in range(2_000):
        await peer.send(b"A" * 50_000)


PACKED = gzip.compress(b'{"x": "' + b"A" * 100_000_000, 1)


async def compressed(peer: Peer) -> None:
    await peer.send(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + PACKED)


@pytest.mark.parametrize("answer", [without_end, compressed])
async def test_an_answer_of_100_mb_is_not_held(answer: Serve) -> None:
    async with upstream(answer) as (url, _):
        server = McpServer(Endpoint(label="test", url=f"{url}/mcp"), timeout=20)
        tracemalloc.start()
        with pytest.raises(ToolSourceFailed):
            await server.tools()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await server.close()
        assert peak < 4 * MAX_BODY
