"""From the configuration to the parts; the clients' tests use the whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tailrace.assembly import mcp_servers
from tailrace.config import parse
from tailrace.errors import ConfigError
from tests.support.mcp_servers import PROGRAM, SECRET, McpProcess

CONFIG = """
[models.m]
dialect = "echo"

[agents.a]
model = "m"
mcp = [{ label = "here", command = "%(python)s", args = ["server.py", "notes"], allow = ["echo"] }]

[agents.b]
model = "m"
mcp = [
  { allow = ["echo"], label = "here", command = "%(python)s", args = ["server.py", "notes"] },
  { label = "there", url = "%(url)s", header_env = { Authorization = "TEST_MCP_KEY" }, approval = "never" },
]

[agents.c]
model = "m"
"""


async def test_mcp_servers_of_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server.py").symlink_to(PROGRAM)
    monkeypatch.delenv("TEST_MCP_KEY", raising=False)
    with McpProcess(tmp_path / "notes there", "--needs", SECRET) as process:
        text = CONFIG % {"python": sys.executable, "url": process.url}
        config = parse(text, folder=tmp_path)
        with pytest.raises(ConfigError, match=r"\[agents.b\] mcp 'there': .* has no TEST_MCP_KEY"):
            mcp_servers(config)
        monkeypatch.setenv("TEST_MCP_KEY", SECRET)
        servers = mcp_servers(config)
        assert servers["c"] == ()
        here, there = servers["b"]
        assert servers["a"] == (here,)
        assert [(tool.spec.name, tool.approval) for tool in await here.tools()] == [("echo", True)]
        assert not any(tool.approval for tool in await there.tools())
        for server in (here, there):
            await server.close()
    assert (tmp_path / "notes").exists()
