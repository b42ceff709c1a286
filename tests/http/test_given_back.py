"""What a chat server must get back (its thought, the signature of a call) comes back by whatever way a
Responses client keeps a turn: all of the output, what Codex keeps of it, ids alone, or the response's id."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.refusing import ModelServer, Refusal, refusing
from tests.support.servers import ChildServer

Object = dict[str, Any]
ENCRYPTED = "reasoning.encrypted_content"
SIGNATURE = {"google": {"thought_signature": "SIG"}}
TOOL = {"type": "function", "name": "find", "parameters": {"type": "object"}}
ASKED = {"role": "user", "content": "Find it."}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "found"}


def _stream(*deltas: Object, finish: str) -> bytes:
    choices: list[Object] = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    chunks = [json.dumps({"id": "x", "choices": [choice]}) for choice in choices]
    return "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()


CALL = {
    "index": 0,
    "id": "c1",
    "type": "function",
    "function": {"name": "find", "arguments": "{}"},
    "extra_content": SIGNATURE,
}
TURN = _stream({"reasoning_content": "I should look."}, {"tool_calls": [CALL]}, finish="tool_calls")


@pytest.fixture(scope="module")
def models() -> Generator[ModelServer, None, None]:
    with refusing({"v1": Refusal(200, TURN)}) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    models: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Generator[ChildServer, None, None]:
    config = f'[models.m]\ndialect = "chat"\nmodel = "m"\nbase_url = "{models.url}/v1"\n'
    config += '[agents.a]\nmodel = "m"\n'
    folder: Path = tmp_path_factory.mktemp("given-back")
    child = ChildServer(folder, config="[server]\n{server}\n" + config).start()
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


def _codex(item: Object) -> Object:
    """Thoughts without their text, as Codex 0.171 gives them back."""
    return {**item, "content": None} if item["type"] == "reasoning" else item


def _named(item: Object) -> Object:
    return {"type": "item_reference", "id": item["id"]}


WAYS: dict[str, Any] = {
    "all of it": lambda first: {"input": [ASKED, *first["output"], OUTPUT]},
    "as codex": lambda first: {"input": [ASKED, *map(_codex, first["output"]), OUTPUT]},
    "ids": lambda first: {"input": [ASKED, *map(_named, first["output"]), OUTPUT]},
    "previous": lambda first: {"input": [OUTPUT], "previous_response_id": first["id"]},
}


@pytest.mark.parametrize("model", ["m", "a"])
@pytest.mark.parametrize("way", WAYS)
def test_a_chat_server_gets_back_what_it_must(
    server: ChildServer, models: ModelServer, way: str, model: str
) -> None:
    more = {"include": [ENCRYPTED]} if way == "as codex" else {}
    asked = {"model": model, "tools": [TOOL], **more}
    first = _ask(server, {**asked, "input": [ASKED]})
    _ask(server, {**asked, **WAYS[way](first)})
    _, spoken, result = json.loads(models.bodies[-1])["messages"]
    assert spoken["reasoning_content"] == "I should look."
    (call,) = spoken["tool_calls"]
    assert (call["id"], call["extra_content"]) == ("c1", SIGNATURE)
    assert (result["tool_call_id"], result["content"]) == ("c1", "found")


def _ask(server: ChildServer, body: Object) -> Object:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("POST", "/v1/responses", json.dumps(body))
        reply = connection.getresponse()
        answer: Object = json.loads(reply.read())
        assert (reply.status, answer.get("status")) == (200, "completed"), answer
        return answer
    finally:
        connection.close()
