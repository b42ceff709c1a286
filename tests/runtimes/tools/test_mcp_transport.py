"""What a name means may change between the look at it and the connection: who was looked at is asked."""

from __future__ import annotations

import pytest

from tailrace.errors import ToolSourceFailed
from tailrace.runtimes.tools.mcp import McpServer
from tests.support.rebinding import GOOD, NAME, rebinding


async def test_an_mcp_client_connects_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with rebinding(monkeypatch, 403) as (port, asked):
        server = McpServer("test", url=f"http://{NAME}:{port}/mcp", timeout=20)
        with pytest.raises(ToolSourceFailed):
            await server.tools()
        await server.close()
        assert set(asked) == {GOOD}
