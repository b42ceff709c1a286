"""Ownership: every route with every kind of id, requested by every caller. The routes are read from the
application, so a new one is included without a change here; one with an id that this file does not know
fails the last test."""

from __future__ import annotations

import re
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from tailrace import config
from tailrace.assembly import instance as assembly
from tailrace.runs.conversations import named_id
from tailrace.runs.owner import Owner
from tests.http.test_auth import _tailrace
from tests.support.servers import ChildServer, running, select_a_moment

WHO: dict[str, tuple[str, ...]] = {
    "owner": ("--tenant", "acme", "--user", "ann", "--scope", "run"),
    "a colleague": ("--tenant", "acme", "--user", "bob", "--scope", "run"),
    "another tenant": ("--tenant", "other", "--user", "ann", "--scope", "run"),
    "who may not": ("--tenant", "acme", "--user", "ann", "--scope", "read"),
    "admin": ("--tenant", "acme", "--scope", "admin"),
    "admin with a name": ("--tenant", "acme", "--user", "zoe", "--scope", "admin"),
    "admin elsewhere": ("--tenant", "other", "--scope", "admin"),
}
MADE_BY_NAME = frozenset({"/api/chat/{chat_id}/stream", "/api/stream/{session_id}"})
"""Here an id is a name that the client chose: a chat of that name that belongs to another user does not
exist for this one."""
NOT_OURS = ("agent_id", "model", "agent")
"""Parameters that name objects which everyone may use."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, server='data = "data"') as child:
        yield child
        assert "Traceback" not in child.errors()


@pytest.fixture(scope="module")
def keys(server: ChildServer) -> dict[str, str]:
    made = {who: _tailrace(server.folder, "token", "create", who, *how) for who, how in WHO.items()}
    while httpx.get(server.url + "/v1/models").status_code == 200:
        select_a_moment()
    return {**made, "a stranger": "oat_nobody"}


@pytest.fixture(scope="module")
def things(server: ChildServer, keys: dict[str, str]) -> dict[str, str]:
    """One object of each kind that belongs to Ann, by the name of the path parameter that identifies it."""
    with _client(server, keys["owner"]) as ann:
        talk = ann.post("/v1/conversations", json={}).json()["id"]
        asked = {"model": "echo", "input": "x", "conversation": talk}
        response = ann.post("/v1/responses", json=asked).json()
        items = ann.get(f"/v1/conversations/{talk}/items").json()["data"]
        part = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "x"}]}
        ann.post("/api/chat", json={"id": "ann-chat", "agent": "echo", "messages": [part]})
        ann.post("/api/stream", json={"message": "x", "sessionId": "ann-talk"})
    return {
        "response_id": response["id"],
        "job_id": response["id"].replace("resp_", "job_"),
        "conversation_id": talk,
        "item_id": items[0]["id"],
        "chat_id": "ann-chat",
        "session_id": "ann-talk",
    }


def _client(server: ChildServer, key: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=20)


def _routes() -> list[tuple[str, str]]:
    app = assembly.application(
        config.Config(), assembly.assemble(config.Config(), assembly.memory_store())
    )
    return sorted(
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    )


ROUTES = _routes()


def _parameters(path: str) -> list[str]:
    return [name for name in re.findall(r"{(\w+)}", path) if name not in NOT_OURS]


OWNED = [(method, path) for method, path in ROUTES if _parameters(path)]


def _filled(path: str, things: dict[str, str]) -> str:
    values = {**things, "agent_id": "7", "model": "echo", "agent": "helper"}
    return path.format(**values)


def _ask(server: ChildServer, key: str, method: str, path: str) -> httpx.Response:
    body: Any = {} if method in ("POST", "PATCH", "PUT") else None
    with _client(server, key) as client:
        return client.request(method, path, json=body)


@pytest.mark.parametrize("who", ["a colleague", "another tenant", "admin elsewhere"])
@pytest.mark.parametrize(("method", "path"), OWNED)
def test_what_is_another_s_never_was(
    server: ChildServer,
    keys: dict[str, str],
    things: dict[str, str],
    who: str,
    method: str,
    path: str,
) -> None:
    """The same status and the same text as for an id that does not exist."""
    nobody = {name: _like(value) for name, value in things.items()}
    reply = _ask(server, keys[who], method, _filled(path, things))
    strange = _ask(server, keys[who], method, _filled(path, nobody))
    assert reply.status_code == strange.status_code
    assert reply.status_code in (404, 400, 204), reply.text
    mine, theirs = reply.text, strange.text
    for name, value in things.items():
        mine, theirs = mine.replace(value, "ID"), theirs.replace(nobody[name], "ID")
    requests = re.compile(r"req_\w+")
    assert requests.sub("", mine) == requests.sub("", theirs)


def _like(value: str) -> str:
    """An id of the same form that does not exist."""
    return (
        value[:-4] + ("zzzz" if value[-4:] != "zzzz" else "yyyy")
        if value.startswith("ann")
        else (re.sub(r"[0-9a-z]{4}(?=$|_\d+$)", "0000", value))
    )


@pytest.mark.parametrize(("method", "path"), OWNED)
def test_requests_without_a_token_or_a_right_are_refused(
    server: ChildServer, keys: dict[str, str], things: dict[str, str], method: str, path: str
) -> None:
    assert _ask(server, keys["a stranger"], method, _filled(path, things)).status_code == 401
    status = _ask(server, keys["who may not"], method, _filled(path, things)).status_code
    assert (status == 403) == (method != "GET")


@pytest.mark.parametrize("who", ["owner", "admin"])
@pytest.mark.parametrize(("method", "path"), [each for each in OWNED if each[0] == "GET"])
def test_what_is_mine_is_there(
    server: ChildServer,
    keys: dict[str, str],
    things: dict[str, str],
    who: str,
    method: str,
    path: str,
) -> None:
    reply = _ask(server, keys[who], method, _filled(path, things))
    if who == "admin" and path in MADE_BY_NAME:
        return  # a name belongs to its user: the admin finds the runs by their ids
    assert reply.status_code in (200, 204), reply.text


def test_lists_hold_one_s_own(
    server: ChildServer, keys: dict[str, str], things: dict[str, str]
) -> None:
    listed = {
        who: {job["id"] for job in _ask(server, keys[who], "GET", "/jobs").json()["data"]}
        for who in WHO
        if who != "who may not"
    }
    assert things["job_id"] in listed["owner"] & listed["admin"]
    for who in ("a colleague", "another tenant", "admin elsewhere"):
        assert not listed[who]


def test_no_user_continues_from_anothers_response(
    server: ChildServer, keys: dict[str, str], things: dict[str, str]
) -> None:
    for body in (
        {"previous_response_id": things["response_id"]},
        {"conversation": things["conversation_id"]},
        {"input": [{"type": "item_reference", "id": things["item_id"]}]},
    ):
        asked = {"model": "echo", "input": "x", **body}
        with _client(server, keys["a colleague"]) as bob:
            assert bob.post("/v1/responses", json=asked).status_code in (400, 404)
    with _client(server, keys["a colleague"]) as bob:
        key = {"idempotency-key": "the same"}
        mine = bob.post("/v1/responses", json={"model": "echo", "input": "x"}, headers=key).json()
    with _client(server, keys["owner"]) as ann:
        hers = ann.post("/v1/responses", json={"model": "echo", "input": "x"}, headers=key).json()
    assert mine["id"] != hers["id"]


def test_no_user_continues_anothers_thread(
    server: ChildServer, keys: dict[str, str], things: dict[str, str]
) -> None:
    """Names in bodies: threads and runs of AG-UI, and the questions of a run."""
    named = {"threadId": "ann-thread", "runId": "r1"}
    message = {"id": "m", "role": "user", "content": "x"}
    asked = things["response_id"].replace("resp_", "apr_") + "_0"
    answer = {"interruptId": asked, "status": "cancelled"}
    statuses: dict[str, list[int]] = {}
    runs: set[str] = set()
    for who in ("owner", "a colleague"):
        with _client(server, keys[who]) as client:
            if who == "a colleague":
                statuses[who] = [client.post("/agui/echo/cancel", json=named).status_code]
            begun = client.post("/agui/echo", json={**named, "messages": [message]})
            runs.add(begun.headers["x-run-id"])
            if who == "owner":
                statuses[who] = [client.post("/agui/echo/cancel", json=named).status_code]
            resumed = {**named, "runId": "r2", "messages": [], "resume": [answer]}
            statuses[who].append(client.post("/agui/echo", json=resumed).status_code)
    assert len(runs) == 2, "a run of one's own under the same names"
    assert statuses == {"owner": [409, 409], "a colleague": [404, 404]}


def test_a_conversation_that_is_busy_is_not_there_for_others(
    server: ChildServer, keys: dict[str, str]
) -> None:
    """They neither wait for it nor learn that it exists: not even from the duration of their reply."""
    slow = {"model": "slow", "input": "word " * 100, "background": True}
    with _client(server, keys["owner"]) as ann, _client(server, keys["a colleague"]) as bob:
        talk = ann.post("/v1/conversations", json={}).json()["id"]
        ann.post("/v1/responses", json={**slow, "conversation": talk})
        turn = {"model": "echo", "input": "x", "conversation": talk}
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(ann.post, "/v1/responses", json=turn)
            for _ in range(3):
                assert bob.post("/v1/responses", json=turn).status_code == 404
            assert not waiting.done()
            assert waiting.result().status_code == 200


def test_every_kind_of_id_is_known_here(things: dict[str, str]) -> None:
    assert {name for _, path in OWNED for name in _parameters(path)} <= set(things)


def test_what_an_admin_makes_is_the_admin_s_own(server: ChildServer, keys: dict[str, str]) -> None:
    """An admin sees all of its tenant, and has a name: other users do not see its runs."""
    part = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "mine"}]}
    say = [{"type": "message", "role": "user", "content": "mine"}]
    with _client(server, keys["admin with a name"]) as zoe:
        made = [zoe.post("/v1/conversations", json={"items": say}).json()["id"]]
        asked = {"model": "echo", "messages": [{"role": "user", "content": "mine"}]}
        for path, name, body in (
            ("/api/stream", "a", {"message": "mine", "sessionId": "a"}),
            ("/api/chat", "b", {"id": "b", "agent": "echo", "messages": [part]}),
            ("/agui/echo", "c", {"threadId": "c", "runId": "r", **asked}),
            ("/v1/chat/completions", "d", {"conversation_id": "d", **asked}),
        ):
            assert zoe.post(path, json=body).status_code == 200, path
            made += [named_id(name, Owner("acme", user)) for user in ("", "zoe")]
        assert "mine" in zoe.get("/api/stream/a").text
        assert zoe.get("/api/chat/b/stream?after=0").status_code == 200
        seen = [zoe.get(f"/v1/conversations/{id}/items").text.count('"mine"') > 0 for id in made]
    assert seen == [True, *[False, True] * 4]
    with _client(server, keys["a colleague"]) as bob:
        for id in made:
            assert bob.get(f"/v1/conversations/{id}/items").status_code == 404
            assert bob.delete(f"/v1/conversations/{id}").status_code == 404


def test_an_admin_takes_a_turn_in_a_user_s_conversation(
    server: ChildServer, keys: dict[str, str], things: dict[str, str]
) -> None:
    asked = {"model": "echo", "input": "by zoe", "conversation": things["conversation_id"]}
    with _client(server, keys["admin with a name"]) as zoe:
        assert zoe.post("/v1/responses", json=asked).status_code == 200
    path = f"/v1/conversations/{things['conversation_id']}/items"
    assert "by zoe" in _ask(server, keys["owner"], "GET", path).text
