"""Conversations: created, extended, used in a turn, listed, changed, deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.http.conftest import Answer, Ask


def _texts(ask: Ask, conversation: object) -> list[str]:
    page = ask("GET", f"/v1/conversations/{conversation}/items?order=asc").json
    assert isinstance(page["data"], list)
    return [item["content"][0]["text"] for item in page["data"]]


@pytest.mark.req("R56")
def test_a_conversation_grows_by_turns(ask: Ask) -> None:
    first = {"type": "message", "role": "user", "content": "Before"}
    made = ask("POST", "/v1/conversations", {"items": [first], "metadata": {"a": "b"}}).json
    assert (made["object"], made["metadata"]) == ("conversation", {"a": "b"})
    turn = {"model": "echo", "input": "One", "conversation": made["id"]}
    reply = ask("POST", "/v1/responses", turn).json
    assert reply["conversation"] == {"id": made["id"]}
    ask("POST", "/v1/responses", {**turn, "input": "Two"})
    assert _texts(ask, made["id"]) == ["Before", "One", "One", "Two", "Two"]
    ask("POST", f"/v1/conversations/{made['id']}/items", {"items": [{**first, "content": "After"}]})
    assert _texts(ask, made["id"])[-1] == "After"


def test_items_can_be_read_and_removed(ask: Ask) -> None:
    made = ask("POST", "/v1/conversations", {}).json
    ask("POST", "/v1/responses", {"model": "echo", "input": "One", "conversation": made["id"]})
    path = f"/v1/conversations/{made['id']}/items"
    data = ask("GET", path + "?order=asc&limit=1").json
    assert data["has_more"] is True
    id = data["last_id"]
    assert ask("GET", f"{path}/{id}").json["id"] == id
    assert ask("DELETE", f"{path}/{id}").json["id"] == made["id"]
    assert ask("GET", f"{path}/{id}").status == 404
    assert _texts(ask, made["id"]) == ["One"]


def test_metadata_changes_and_a_deleted_one_is_gone(ask: Ask) -> None:
    made = ask("POST", "/v1/conversations", b"").json
    path = f"/v1/conversations/{made['id']}"
    assert ask("POST", path, {"metadata": {"k": "v"}}).json["metadata"] == {"k": "v"}
    assert ask("GET", path).json["metadata"] == {"k": "v"}
    assert ask("DELETE", path).json["deleted"] is True
    assert ask("GET", path).status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=nothing"])
def test_bad_pages_are_refused(ask: Ask, query: str) -> None:
    made = ask("POST", "/v1/conversations", {}).json
    assert ask("GET", f"/v1/conversations/{made['id']}/items?{query}").status == 400


def test_an_item_can_be_put_in_by_reference(ask: Ask) -> None:
    reply = ask("POST", "/v1/responses", {"model": "echo", "input": "Said"}).json
    output = reply["output"]
    assert isinstance(output, list)
    reference = {"type": "item_reference", "id": output[0]["id"]}
    asked = {"model": "echo", "input": [{"role": "user", "content": "Hm"}, reference]}
    made = ask("POST", "/v1/responses", asked).json
    items = ask("GET", f"/v1/responses/{made['id']}/input_items?order=asc").json["data"]
    assert isinstance(items, list)
    assert [(item["role"], item["content"][0]["text"]) for item in items] == [
        ("user", "Hm"),
        ("assistant", "Said"),
    ]


def test_turns_that_begin_at_once_follow_each_other(ask: Ask) -> None:
    made = ask("POST", "/v1/conversations", {}).json

    def say(word: str) -> None:
        turn = {"model": "echo", "input": word, "conversation": made["id"]}
        assert ask("POST", "/v1/responses", turn).status == 200

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(say, "abcd"))
    texts = _texts(ask, made["id"])
    assert sorted(texts) == sorted("aabbccdd")
    assert texts[::2] == texts[1::2], "each answer stands behind its question"
    page = ask("GET", f"/v1/conversations/{made['id']}/items?order=asc").json
    assert isinstance(page["data"], list)
    runs = [item["id"].split("_")[1] for item in page["data"]][::2]
    assert [len(_request(ask, run).get("history", [])) for run in runs] == [0, 2, 4, 6]


def _request(ask: Ask, run: str) -> dict[str, Any]:
    first = ask("GET", f"/jobs/job_{run}/stream").body.split(b"\n\n")[0]
    envelope = msgspec.json.decode(first.partition(b"data: ")[2])
    request: dict[str, Any] = envelope["payload"]["request"]
    return request


@pytest.mark.parametrize("path", ["/v1", "/agent/7"])
def test_a_conversation_continues_under_the_clients_own_name(ask: Ask, path: str) -> None:
    turn = {"model": "echo", "conversation_id": f"mine{path}", "messages": [_user("One")]}
    first = ask("POST", path + "/chat/completions", turn)
    assert first.status == 200
    past = [_user("One"), {"role": "assistant", "content": _said(first)}]
    second = ask("POST", path + "/chat/completions", {**turn, "messages": [*past, _user("Two")]})
    request = _request(ask, second.headers["x-run-id"].removeprefix("run_"))
    assert [item["content"][0]["text"] for item in request["input"]] == ["Two"]
    assert request["history"][0]["content"][0]["text"] == "One"
    session = ask("POST", "/api/stream", {"message": "Three", "sessionId": f"mine{path}"})
    history = _request(ask, session.headers["x-run-id"].removeprefix("run_"))["history"]
    assert "Two" in [item["content"][0]["text"] for item in history if item["type"] == "message"]


def test_a_history_that_is_named_and_repeated_counts_once(ask: Ask) -> None:
    first = ask("POST", "/v1/responses", {"model": "echo", "input": "One"}).json
    again = [_user("One"), {"role": "assistant", "content": "One"}, _user("Two")]
    body = {"model": "echo", "input": again, "previous_response_id": first["id"]}
    second = ask("POST", "/v1/responses", body)
    request = _request(ask, second.headers["x-run-id"].removeprefix("run_"))
    assert len(request["history"]) == 2
    assert [item["content"][0]["text"] for item in request["input"]] == ["Two"]


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _said(answer: Answer) -> str:
    choices = answer.json["choices"]
    assert isinstance(choices, list)
    said: str = choices[0]["message"]["content"]
    return said
