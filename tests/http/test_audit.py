"""The lines of an audit log: who did what, with the request id that the client also has."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.test_auth import SURFACES
from tests.http.test_limits import key, wants_keys
from tests.support.servers import CONFIG, ChildServer, select_a_moment

APPROVE = (
    CONFIG
    + '\n[agents.careful]\nmodel = "script"\ntools = ["helper_tools:find"]\napprove = ["find"]\n'
)
FIELDS = {
    "ts", "action", "run", "method", "path", "status", "request_id", "tenant", "user", "token", "from",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder: Path = tmp_path_factory.mktemp("server")
    child = ChildServer(
        folder, server='data = "data"\naudit = "audit.jsonl"', config=APPROVE
    ).start()
    try:
        wants_keys(child)
        yield child
        assert "Traceback" not in child.errors()
    finally:
        child.kill()


def lines(server: ChildServer) -> list[dict[str, Any]]:
    text = (server.folder / "audit.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def line_of(server: ChildServer, reply: httpx.Response) -> dict[str, Any]:
    id = reply.headers["x-request-id"]
    assert reply.headers["request-id"] == id
    return [line for line in lines(server) if line["request_id"] == id][-1]


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_has_its_lines(server: ChildServer, surface: str) -> None:
    method, path, body = SURFACES[surface]
    mine = key(server, f"audit {surface}")
    reply = httpx.request(method, server.url + path, json=body, headers=mine)
    found = line_of(server, reply)
    assert set(found) >= FIELDS
    assert (found["method"], found["path"]) == (method, path)
    assert (found["tenant"], found["status"]) == (f"audit {surface}", reply.status_code)
    assert found["token"].startswith("tok_")
    assert found["run"] == reply.headers.get("x-run-id", "")
    stranger = httpx.request(method, server.url + path, json=body)
    assert (line_of(server, stranger)["status"], line_of(server, stranger)["tenant"]) == (401, "")


def test_the_audit_log_names_the_user_of_each_action(server: ChildServer) -> None:
    mine = key(server, "acts")
    with httpx.Client(base_url=server.url, headers=mine, timeout=20) as client:
        begun = client.post("/jobs", json={"agent": "careful", "input": "hat"})
        job = begun.json()["id"]
        while (state := client.get(f"/jobs/{job}").json())["status"] != "waiting":
            assert state["status"] == "in_progress", state
            select_a_moment()
        (asked,) = state["waiting_for"]
        client.post(f"/jobs/{job}/input", json={"item": asked["item"], "approved": True})
        client.get(f"/jobs/{job}/stream")
        client.post(f"/jobs/{job}/cancel")
    run = begun.headers["x-run-id"]
    mine_only = [
        line for line in lines(server) if line["tenant"] == "acts" and line["action"] != "job"
    ]
    assert [line["action"] for line in mine_only] == ["create", "answer", "stream", "cancel"]
    assert [line["status"] for line in mine_only] == [202, 202, 200, 409]
    assert {line["run"] for line in mine_only[:3]} == {run}
    assert mine_only[1]["approved"] == [asked["item"]]
    assert mine_only[1]["denied"] == []


def test_it_has_no_content_and_no_key(server: ChildServer) -> None:
    mine = key(server, "quiet")
    said = {"model": "echo", "input": "a word that nobody else says: zyxwv"}
    httpx.post(server.url + "/v1/responses", json=said, headers=mine)
    text = (server.folder / "audit.jsonl").read_text(encoding="utf-8")
    assert "zyxwv" not in text
    assert mine["authorization"].split()[1] not in text


def test_a_rotated_file_is_opened_again(server: ChildServer) -> None:
    file = server.folder / "audit.jsonl"
    file.rename(server.folder / "audit.1")
    httpx.get(server.url + "/v1/models")
    assert len(lines(server)) == 1
