"""A server that requires keys: which callers each surface admits, and the errors that others get."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.support.servers import ChildServer, running, select_a_moment

PROGRAM = "from tailrace.cli import main; main()"
MESSAGES = [{"role": "user", "content": "x"}]
PART = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}

SURFACES: dict[str, tuple[str, str, Any]] = {
    "responses": ("POST", "/v1/responses", {"model": "echo", "input": "x"}),
    "one response": ("GET", "/v1/responses/resp_x", None),
    "chat": ("POST", "/v1/chat/completions", {"model": "echo", "messages": MESSAGES}),
    "agent's chat": ("POST", "/agent/7/chat/completions", {"model": "echo", "messages": MESSAGES}),
    "models": ("GET", "/v1/models", None),
    "conversations": ("POST", "/v1/conversations", {}),
    "messages": ("POST", "/v1/messages", {"model": "echo", "max_tokens": 9, "messages": MESSAGES}),
    "jobs": ("POST", "/jobs", {"agent": "echo", "input": "x"}),
    "all jobs": ("GET", "/jobs", None),
    "session": ("POST", "/api/stream", {"message": "x"}),
    "ui": ("POST", "/api/chat", {"id": "c", "agent": "echo", "messages": [PART]}),
    "agui": ("POST", "/agui/echo", {"threadId": "t", "runId": "r", "messages": MESSAGES}),
    "agui cancel": ("POST", "/agui/echo/cancel", {"threadId": "t", "runId": "none"}),
    "ui again": ("GET", "/api/chat/c/stream", None),
}


def _model(path: str) -> bool:
    """Whether a path is one of a model's surfaces, where Anthropic's clients may ask."""
    return path.startswith(("/v1/", "/agent/"))


def _tailrace(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, "--config", str(folder / "tailrace.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, server='data = "data"') as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.fixture(scope="module")
def keys(server: ChildServer) -> dict[str, str]:
    """Tokens that were created while the server ran; from then on the server requires one."""
    assert httpx.get(server.url + "/v1/models").status_code == 200, "open until there is a token"
    made = {
        scope: _tailrace(server.folder, "token", "create", scope, "--scope", scope)
        for scope in ("run", "read", "admin")
    }
    while httpx.get(server.url + "/v1/models").status_code == 200:
        select_a_moment()
    return made


@pytest.mark.parametrize("surface", SURFACES)
def test_unauthorized_requests_get_the_error_form_of_the_surface(
    server: ChildServer, keys: dict[str, str], surface: str
) -> None:
    method, path, body = SURFACES[surface]
    for headers in ({}, {"authorization": "Bearer unused"}, {"x-api-key": "oat_wrong"}):
        reply = httpx.request(method, server.url + path, json=body, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["x-request-id"].startswith("req_")
        error = reply.json()["error"]
        if surface == "messages":
            assert error["type"] == "authentication_error"
        elif surface == "session":
            assert "API key" in error
        else:
            assert "API key" in error["message"]
        assert "oat_wrong" not in reply.text


@pytest.mark.parametrize(
    ("key", "status", "kind"),
    [
        ("", 401, "authentication_error"),
        ("oat_wrong", 401, "authentication_error"),
        ("read", 403, "permission_error"),
    ],
)
@pytest.mark.parametrize(
    "surface", [name for name, (_, path, _) in SURFACES.items() if _model(path)]
)
def test_a_client_with_anthropics_version_header_gets_its_form(
    server: ChildServer, keys: dict[str, str], surface: str, key: str, status: int, kind: str
) -> None:
    method, path, body = SURFACES[surface]
    if method == "GET" and status == 403:
        return  # a token with the scope "read" may send a GET
    headers = {"anthropic-version": "2023-06-01", "x-api-key": keys.get(key, key)}
    reply = httpx.request(method, server.url + path, json=body, headers=headers)
    told = reply.json()
    assert (reply.status_code, told["type"], told["error"]["type"]) == (status, "error", kind)
    assert told["request_id"] == reply.headers["request-id"]
    assert (reply.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert "oat_wrong" not in reply.text


@pytest.mark.req("R31")
@pytest.mark.req("R32")
@pytest.mark.req("R49")
@pytest.mark.req("R51")
@pytest.mark.req("R52")
@pytest.mark.parametrize("surface", SURFACES)
def test_a_valid_token_is_accepted(server: ChildServer, keys: dict[str, str], surface: str) -> None:
    method, path, body = SURFACES[surface]
    for headers in (
        {"authorization": f"Bearer {keys['run']}"},
        {"x-api-key": keys["admin"]},
        {"authorization": "Bearer unused", "x-oauth-access-token": keys["run"]},
    ):
        reply = httpx.request(method, server.url + path, json=body, headers=headers)
        assert reply.status_code in (200, 202, 204, 404), reply.text
    reading = {"x-api-key": keys["read"]}
    reply = httpx.request(method, server.url + path, json=body, headers=reading)
    assert (reply.status_code == 403) == (method == "POST")


def test_a_server_with_tokens_accepts_any_host_name(
    server: ChildServer, keys: dict[str, str]
) -> None:
    headers = {"host": "agents.example", "x-api-key": keys["read"]}
    assert httpx.get(server.url + "/jobs", headers=headers).status_code == 200


def test_a_revoked_token_is_worth_nothing(server: ChildServer, keys: dict[str, str]) -> None:
    secret = _tailrace(server.folder, "token", "create", "short-lived")
    assert secret.startswith("oat_")
    listed = _tailrace(server.folder, "token", "list").splitlines()
    (line,) = [line for line in listed if line.endswith("short-lived")]
    assert secret not in "\n".join(listed)
    headers = {"authorization": f"Bearer {secret}"}
    assert httpx.get(server.url + "/jobs", headers=headers).status_code == 200
    _tailrace(server.folder, "token", "revoke", line.split("\t")[0])
    while (reply := httpx.get(server.url + "/jobs", headers=headers)).status_code == 200:
        select_a_moment()
    assert reply.status_code == 401


def test_a_stream_ends_with_the_key_that_opened_it(tmp_path: Path) -> None:
    """The run continues, and a caller with a valid key reads it to its end."""
    with running(tmp_path, server='data = "data"\nheartbeat_seconds = 0.1') as child:
        good, bad = (_tailrace(child.folder, "token", "create", name) for name in ("1", "2"))
        listed = _tailrace(child.folder, "token", "list").splitlines()
        (id,) = [line.split("\t")[0] for line in listed if line.endswith("\t2")]
        body = {"agent": "slow", "input": " ".join(["word"] * 400)}
        with httpx.Client(base_url=child.url, headers={"x-api-key": good}, timeout=20) as client:
            job = client.post("/jobs", json=body).json()["id"]
            stream = f"/jobs/{job}/stream"
            with client.stream("GET", stream, headers={"x-api-key": bad}) as revoked:
                assert revoked.status_code == 200
                _tailrace(child.folder, "token", "revoke", id)
                with pytest.raises(httpx.RemoteProtocolError):
                    b"".join(revoked.iter_raw())
            assert client.get(f"/jobs/{job}").json()["status"] == "in_progress"
            assert "run.completed" in client.get(stream).text


def test_a_list_of_tokens_has_everything_but_the_secrets(tmp_path: Path) -> None:
    ChildServer(tmp_path, server='data = "data"')
    limits = ("--limit", "requests_per_minute=60", "--limit", "cost_per_day=2.5")
    who = ("--tenant", "acme", "--user", "ann", "--scope", "read", "--days", "90", *limits)
    secrets = [
        _tailrace(tmp_path, "token", "create", "ann's laptop", *who),
        _tailrace(tmp_path, "token", "create", "plain"),
    ]
    made, until = (
        time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86_400)) for days in (0, 90)
    )
    listed = _tailrace(tmp_path, "token", "list")
    lines = [line.split("\t") for line in listed.splitlines()]
    said = "requests_per_minute=60,cost_per_day=2.5"
    assert [line[1:] for line in lines] == [
        ["good", "acme", "ann", "read", made, until, said, "ann's laptop"],
        ["good", "local", "-", "run,read", made, "never", "-", "plain"],
    ]
    for secret in secrets:
        assert secret not in listed
        assert hashlib.sha256(secret.encode()).hexdigest() not in listed


def test_the_commands_show_the_token_of_the_environment(
    server: ChildServer, keys: dict[str, str]
) -> None:
    command = [sys.executable, "-c", PROGRAM, "runs", "--url", server.url]
    without = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (without.returncode, "API key" in without.stderr) == (1, True)
    environment = {**os.environ, "TAILRACE_TOKEN": keys["read"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_key_is_written_anywhere(server: ChildServer, keys: dict[str, str]) -> None:
    kept = b"".join(path.read_bytes() for path in (server.folder / "data").iterdir())
    for secret in keys.values():
        assert secret.encode() not in kept
        assert secret not in server.errors()


@pytest.mark.req("R50")
def test_tokens_of_an_identity_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "a secret of 32 bytes or more, for HS256")
    settings = 'data = "data"\n[auth.jwt]\nsecret_env = "JWT_SECRET"\nalgorithms = ["HS256"]'
    claims = {"tenant": "acme", "sub": "ann", "exp": time.time() + 600}
    good = jwt.encode(claims, "a secret of 32 bytes or more, for HS256", "HS256")
    bad = jwt.encode(claims, "another secret of 32 bytes or more, for HS256", "HS256")
    with running(tmp_path, server=settings) as child:
        for token, status in ((good, 200), (bad, 401)):
            headers = {"x-oauth-access-token": token}
            assert httpx.get(child.url + "/v1/models", headers=headers).status_code == status


def test_a_server_that_others_reach_wants_keys(tmp_path: Path) -> None:
    child = ChildServer(tmp_path)
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "serve",
        str(child.folder / "tailrace.toml"),
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "tailrace token create" in done.stderr
