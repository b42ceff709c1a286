"""A secret of each kind, and every place where one could leak; and the warnings of a check."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tailrace import config
from tailrace.config.safety import warnings
from tests.http.test_auth import PROGRAM, _tailrace
from tests.support.servers import ChildServer

CANARY = "canary-5f1d0c8e"
CONFIG = """
[server]
data = "data"
{server}

[auth.jwt]
secret_env = "CANARY_JWT"
algorithms = ["HS256"]

[models.told]
dialect = "chat"
base_url = "{url}"
model = "m"
api_key_env = "CANARY_MODEL"
retries = 0

[models.gone]
dialect = "messages"
base_url = "http://127.0.0.1:1"
model = "m"
api_key_env = "CANARY_MODEL"
retries = 0

[agents.tools]
model = "told"
mcp = [{{ label = "docs", url = "{url}/mcp", header_env = {{ Authorization = "CANARY_MCP" }} }}]
"""


class Repeats(http.server.BaseHTTPRequestHandler):
    """A server that repeats the secrets that it received."""

    def do_POST(self) -> None:
        told = f'{{"error": {{"message": "no {self.headers["authorization"]}"}}}}'.encode()
        self.send_response(401, self.headers["authorization"])
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def upstream() -> Generator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repeats)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_secret_comes_out_nowhere(
    tmp_path: Path, upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_MODEL", f"{CANARY}-model")
    monkeypatch.setenv("CANARY_MCP", f"Bearer {CANARY}-mcp")
    monkeypatch.setenv("CANARY_JWT", f"{CANARY}-jwt-that-is-long-enough-for-hs256")
    text = CONFIG.replace("{url}", upstream)
    child = ChildServer(tmp_path, config=text, server="").start()
    said: list[str] = []
    try:
        token = _tailrace(tmp_path, "token", "create", "t", "--scope", "admin")
        auth = {"authorization": f"Bearer {token}"}
        for agent in ("told", "gone", "tools"):
            for asked in ({"stream": True}, {}):
                body = {"model": agent, "input": "x", **asked}
                reply = httpx.post(child.url + "/v1/responses", json=body, headers=auth, timeout=30)
                assert "failed" in reply.text
                run = reply.headers["x-run-id"]
                said += [reply.text, str(reply.headers)]
                for surface in ("native", "responses", "chat", "messages", "session", "ui", "agui"):
                    url = f"{child.url}/jobs/{run}/stream"
                    said.append(httpx.get(url, params={"as": surface}, headers=auth).text)
        for wrong in (f"Bearer {CANARY}-wrong", f"{CANARY}.wrong.jwt"):
            headers = {"authorization": wrong, "x-oauth-access-token": wrong}
            said.append(httpx.get(child.url + "/jobs", headers=headers).text)
        said.append(httpx.get(child.url + "/readyz").text)
        said.append(_tailrace(tmp_path, "token", "list"))
        check = [sys.executable, "-c", PROGRAM, "check", str(tmp_path / "tailrace.toml")]
        done = subprocess.run(check, capture_output=True, text=True, check=True)
        said += [done.stdout, done.stderr]
    finally:
        child.stop()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    said += [child.errors(), kept.decode("latin-1")]
    for place in said:
        assert CANARY not in place
        assert token not in place


UNSAFE: dict[str, str] = {
    '[server]\ncors_origins = ["*"]': "cors_origins has '*'",
    '[server]\nhost = "0.0.0.0"': "without encryption",
    '[server]\nhost = "::"\n[limits.token]\nconcurrent_runs = 1': "without encryption",
    "[server]\nallow_private = true": "allow_private",
    '[auth.jwt]\nsecret_env = "X"\nissuer = "i"\nalgorithms = ["HS256"]': "audience",
    '[auth.jwt]\nsecret_env = "X"\naudience = "a"\nalgorithms = ["HS256"]': "issuer",
    '[auth.jwt]\njwks_url = "http://id.test"\naudience = "a"\nissuer = "i"': "jwks_url is http",
    '[auth.jwt]\nsecret_env = "X"\naudience = "a"\nissuer = "i"\nalgorithms = ["HS256"]\n'
    'without_user = "whole_tenant"': "sees the whole tenant",
    "[limits.token]\ncost_per_day = 1.0\n[models.m]\ndialect = 'chat'\nmodel = 'm'\n"
    "base_url = 'https://m.test'": "without a price",
    "[models.m]\ndialect = 'chat'\nmodel = 'm'\nbase_url = 'http://m.test'": "base_url is http",
    "[models.m]\ndialect = 'chat'\nmodel = 'm'\nbase_url = 'https://m.test'\n"
    "headers = { X-Api-Key = 'canary' }": "X-Api-Key is in the file",
    "[models.m]\ndialect = 'echo'\n[agents.a]\nmodel = 'm'\n"
    "mcp = [{ label = 'l', url = 'http://m.test' }]": "url is http",
    "[models.m]\ndialect = 'echo'\n[agents.a]\nmodel = 'm'\n"
    "mcp = [{ label = 'l', command = 'x', env = { API_TOKEN = 'canary' } }]": "API_TOKEN is in the file",
}


@pytest.mark.parametrize("text", UNSAFE)
def test_what_a_check_warns_of(text: str) -> None:
    found = list(warnings(config.parse(text)))
    assert any(UNSAFE[text] in warning for warning in found), found
    assert not any("canary" in warning for warning in found)
    assert len(found) <= 2


def test_what_is_safe_is_not_warned_of() -> None:
    text = """
[server]
cors_origins = ["https://app.test"]
[models.local]
dialect = "chat"
base_url = "http://127.0.0.1:8000/v1"
model = "m"
api_key_env = "KEY"
headers = { X-Title = "app" }
[models.far]
dialect = "chat"
base_url = "https://m.test/v1"
model = "m"
"""
    assert not list(warnings(config.parse(text)))
