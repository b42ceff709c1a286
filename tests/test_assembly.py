"""From the configuration to a server; the clients' tests use the complete server."""

from __future__ import annotations

import logging
import socket
import sys
import time
from pathlib import Path

import jwt
import pytest

from tailrace.assembly.instance import assemble, memory_store
from tailrace.assembly.tools import mcp_servers
from tailrace.config import parse
from tailrace.errors import ConfigError, Unauthorized
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


JWT = """
[server]
allow_private = {private}

[auth.jwt]
jwks_url = "http://id.test:9/jwks"
"""


@pytest.mark.parametrize(("private", "said"), [("false", "allow_private"), ("true", "answer")])
async def test_the_provider_s_name_obeys_the_rule_of_all_names(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, private: str, said: str
) -> None:
    def lookup(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", ("127.0.0.1", 9))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    store = memory_store()
    await store.open()
    gate = assemble(parse(JWT.format(private=private), "x.toml", Path()), store).edge.gate
    token = jwt.encode({"exp": time.time() + 60}, "x" * 64, "HS256", headers={"kid": "one"})
    with caplog.at_level(logging.WARNING), pytest.raises(Unauthorized):
        await gate.admit({"authorization": f"Bearer {token}"}, "read")
    (record,) = caplog.records
    assert said in record.getMessage()
    assert ("allow_private" in record.getMessage()) == (private == "false")


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ('instructions = "{caller.name}"', "[agents.a] instructions: {caller.name} does not exist"),
        (
            'mcp = [{ label = "d", url = "http://h/", headers = { x = "{headers.y}" } }]',
            "[agents.a] mcp 'd' headers: {headers.y} needs 'y' in [server] run_headers",
        ),
        (
            'mcp = [{ label = "d", url = "http://h/", call_headers = "os:sep" }]',
            "[agents.a] mcp 'd' call_headers: a str is not a function",
        ),
    ],
)
def test_variables_and_functions_that_cannot_work(agent: str, message: str) -> None:
    settings = parse(f'[models.m]\ndialect = "echo"\n[agents.a]\nmodel = "m"\n{agent}\n')
    with pytest.raises(ConfigError) as caught:
        assemble(settings, memory_store())
    assert str(caught.value).startswith(message)
