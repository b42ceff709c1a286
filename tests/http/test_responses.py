"""Edge cases of `/v1/responses`: cursors, routes that do not exist, and mistakes that the error names."""

from __future__ import annotations

import json

import pytest

from tests.http.conftest import Ask


def _made(ask: Ask) -> tuple[str, list[bytes]]:
    """The id of an ended response, and its frames."""
    made = ask("POST", "/v1/responses", {"model": "echo", "input": "a b"}).json
    path = f"/v1/responses/{made['id']}"
    whole = ask("GET", f"{path}?stream=true").body.replace(b": ping\n", b"")
    return path, [frame + b"\n\n" for frame in whole.split(b"\n\n") if frame]


@pytest.mark.parametrize("cursor", ["-1", "0", "5", "last"])
def test_a_cursor_returns_the_frames_after_it(ask: Ask, cursor: str) -> None:
    path, frames = _made(ask)
    last = len(frames) - 2
    number = last if cursor == "last" else int(cursor)
    got = ask("GET", f"{path}?stream=true&starting_after={number}")
    assert (got.status, got.body) == (200, b"".join(frames[number + 1 :]))
    assert got.body.endswith(b"data: [DONE]\n\n")


def test_a_cursor_beyond_the_last_event_is_refused(ask: Ask) -> None:
    """The mark at the end has no number: no client can have seen it."""
    path, frames = _made(ask)
    for number in (len(frames) - 1, len(frames), len(frames) + 1):
        for asked in (f"{path}?stream=true&starting_after={number}",):
            got = ask("GET", asked)
            assert (got.status, got.error["param"]) == (400, "starting_after")
    job = path.replace("/v1/responses/resp_", "/jobs/job_")
    got = ask("GET", f"{job}/stream?as=responses&after={len(frames) - 1}")
    assert (got.status, got.error["param"]) == (400, "after")
    assert ask("GET", f"{job}/stream?as=responses&after={len(frames) - 2}").status == 200


def test_compaction_is_not_here(ask: Ask) -> None:
    got = ask("POST", "/v1/responses/compact", {"model": "echo", "input": "x"})
    assert got.status == 404
    assert "not compacted" in got.error["message"]


def test_a_websocket_gets_426(ask: Ask) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    got = ask("GET", "/v1/responses", headers=upgrade)
    assert got.status == 426
    assert "WebSocket" in got.error["message"]
    assert got.headers["upgrade"]
    assert ask("GET", "/v1/responses").status == 405


WRONG: dict[str, dict[str, object]] = {
    "/v1/responses": {"model": "echo", "input": "x"},
    "/v1/chat/completions": {"model": "echo", "messages": [{"role": "user", "content": "x"}]},
    "/v1/messages": {
        "model": "echo",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
    },
}


@pytest.mark.parametrize("path", WRONG)
def test_a_temperature_that_no_model_has_is_refused(ask: Ask, path: str) -> None:
    got = ask("POST", path, {**WRONG[path], "temperature": 9})
    assert got.status == 400
    assert "temperature" in got.error["message"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/responses", "max_output_tokens"),
        ("/v1/chat/completions", "max_completion_tokens"),
        ("/v1/chat/completions", "max_tokens"),
    ],
)
@pytest.mark.parametrize("limit", [0, -1])
def test_no_tokens_are_no_limit(ask: Ask, path: str, name: str, limit: int) -> None:
    got = ask("POST", path, {**WRONG[path], name: limit})
    assert (got.status, got.error["param"]) == (400, name)


def test_of_messages_none_fill_a_cache(ask: Ask) -> None:
    """Messages documents `max_tokens: 0` for that."""
    asked = {**WRONG["/v1/messages"], "max_tokens": 0}
    assert ask("POST", "/v1/messages", asked).status == 200
    assert ask("POST", "/v1/messages", {**asked, "max_tokens": -1}).status == 400


@pytest.mark.parametrize("path", WRONG)
def test_half_a_character_is_named(ask: Ask, path: str) -> None:
    text = json.dumps(WRONG[path]).replace('"x"', '"tea\\ud83d"')
    got = ask("POST", path, text.encode())
    assert got.status == 400
    assert "lone surrogate (\\ud83d)" in got.error["message"]
    place = "input" if path == "/v1/responses" else "messages[0].content"
    assert place in got.error["message"]
    whole = text.replace("\\ud83d", "\\ud83d\\ude00")
    assert ask("POST", path, whole.encode()).status == 200


def test_unknown_parameters_are_refused_on_our_own_routes(ask: Ask) -> None:
    job = str(ask("POST", "/jobs", {"agent": "echo", "input": "x"}).json["id"])
    for method, path in (
        ("GET", "/jobs?limits=3"),
        ("GET", f"/jobs/{job}?stream=true"),
        ("GET", f"/jobs/{job}/stream?starting_after=3"),
        ("POST", "/jobs?wait=true"),
    ):
        got = ask(method, path, {"agent": "echo", "input": "x"} if method == "POST" else None)
        name = path.partition("?")[2].partition("=")[0]
        assert (got.status, got.error["param"]) == (400, name)
    assert ask("GET", f"/v1/responses/{job.replace('job_', 'resp_')}?beta=true").status == 200
