"""What a model server must get back comes back by whatever way a client keeps a turn. Of a chat server (its
thought, the signature of a call) by a Responses client: all of the output, the part that Codex keeps, ids
alone, or the response's id. Of a Messages or a Responses server by a Chat client that returns the complete
message; where it does not, its tool loop continues without thinking. The servers here refuse what the real
ones refuse, in their words."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import openai
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
    """Reasoning items without their text, as Codex 0.171 sends them back."""
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


def _events(*events: Object) -> bytes:
    told = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return "".join(told).encode()


def _of_messages(*blocks: Object, stop: str) -> bytes:
    """A reply of a Messages server from complete blocks."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    told = message | {"content": blocks, "stop_reason": stop, "usage": usage}
    return _events(told)


THINKING = {"type": "thinking", "thinking": "I should look.", "signature": "SIG"}
REDACTED = {"type": "redacted_thinking", "data": "SECRET"}
FIND: Object = {"type": "tool_use", "id": "c1", "name": "find", "input": {}}
THOUGHT_AND_CALLED = _of_messages(THINKING, REDACTED, FIND, stop="tool_use")
ANSWERED = _of_messages({"type": "text", "text": "It is here."}, stop="end_turn")


def _refused(message: str) -> Refusal:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    return Refusal(400, json.dumps(error).encode())


EXPECTED = (
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
    "`thinking` is enabled, a final `assistant` message must start with a thinking block."
)
PASSED_BACK = "The `content[].thinking` in the thinking mode must be passed back to the API."
"""Of DeepSeek's Messages servers, which think unless a request turns it off."""


def _thinks(words: str, *, always: bool = False) -> Any:
    """A Messages server that thinks by default, and refuses calls without the thinking before them. Some
    `always` think."""

    def answer(body: bytes) -> Refusal:
        asked = json.loads(body)
        off = asked.get("thinking") == {"type": "disabled"}
        said = [turn["content"] for turn in asked["messages"] if turn["role"] == "assistant"]
        if off and always:
            return _refused("thinking.type: disabled is not supported by this model")
        if not said:
            return Refusal(200, THOUGHT_AND_CALLED)
        first = said[-1][0]["type"]
        if off:
            bad = any("thinking" in block["type"] for block in said[-1])
            return _refused("thinking is disabled") if bad else Refusal(200, ANSWERED)
        return Refusal(200, ANSWERED) if "thinking" in first else _refused(words)

    return answer


SECRET = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Looking."}],
    "encrypted_content": "gAAA",
}
CALLED = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
SAID = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "It is here.", "annotations": []}],
}


def _of_responses(*output: Object) -> Refusal:
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": output}
    return Refusal(200, _events({"type": "response.completed", "response": response}))


def _responds(body: bytes) -> Refusal:
    asked = json.loads(body)
    results = [item for item in asked["input"] if item.get("type") == "function_call_output"]
    return _of_responses(SAID) if results else _of_responses(SECRET, CALLED)


SERVERS: dict[str, tuple[str, Any]] = {
    "anthropic": ("messages", _thinks(EXPECTED)),
    "deepseek": ("messages", _thinks(PASSED_BACK)),
    "always": ("messages", _thinks(EXPECTED, always=True)),
    "openai": ("responses", _responds),
}


@pytest.fixture(scope="module")
def thinkers() -> Generator[ModelServer, None, None]:
    with refusing({name: answer for name, (_, answer) in SERVERS.items()}) as server:
        yield server


@pytest.fixture(scope="module")
def chat(
    thinkers: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Generator[openai.OpenAI, None, None]:
    config = "[server]\n{server}\n"
    for name, (dialect, _) in SERVERS.items():
        config += f'[models.{name}]\ndialect = "{dialect}"\nmodel = "{name}"\n'
        config += (
            f'base_url = "{thinkers.url}/{name}/v1"\n[agents.{name}-agent]\nmodel = "{name}"\n'
        )
    child = ChildServer(tmp_path_factory.mktemp("thinkers"), config=config).start()
    with openai.OpenAI(base_url=f"{child.url}/v1", api_key="x", max_retries=0) as client:
        yield client
    child.kill()
    assert "Traceback" not in child.errors()


def _whole(message: Any) -> Object:
    return message.model_dump(exclude_none=True)  # type: ignore[no-any-return]


def _known(message: Any) -> Object:
    """The fields that most loops send back: those that OpenAI has."""
    return {name: each for name, each in _whole(message).items() if "reasoning" not in name}


FIND_TOOL: Any = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object"}},
}


def _loop(client: openai.OpenAI, model: str, back: Any, *, streamed: bool) -> str | None:
    """A tool loop of the official SDK: `back` selects the part of an answer that is sent back."""
    messages: list[Any] = [ASKED]
    for _ in range(3):
        if streamed:
            with client.chat.completions.stream(
                model=model, messages=messages, tools=[FIND_TOOL]
            ) as stream:
                message: Any = stream.get_final_completion().choices[0].message
        else:
            made = client.chat.completions.create(model=model, messages=messages, tools=[FIND_TOOL])
            message = made.choices[0].message
        if not message.tool_calls:
            return str(message.content)
        messages.append(back(message))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": "found"}
            for call in message.tool_calls
        ]
    return None


STREAMED = pytest.mark.parametrize("streamed", [False, True])
AS = pytest.mark.parametrize("kind", ["", "-agent"])


@STREAMED
@AS
@pytest.mark.parametrize("name", ["anthropic", "deepseek", "always"])
def test_a_chat_client_gives_thinking_back(
    chat: openai.OpenAI, thinkers: ModelServer, name: str, kind: str, *, streamed: bool
) -> None:
    before = len(thinkers.bodies)
    assert _loop(chat, name + kind, _whole, streamed=streamed) == "It is here."
    _, second = map(json.loads, thinkers.bodies[before:])
    assert second["messages"][1]["content"] == [THINKING, REDACTED, FIND]
    assert "thinking" not in second


@STREAMED
@AS
@pytest.mark.parametrize("name", ["anthropic", "deepseek"])
def test_a_tool_loop_without_returned_thinking_continues_without_thinking(
    chat: openai.OpenAI, thinkers: ModelServer, name: str, kind: str, *, streamed: bool
) -> None:
    before = len(thinkers.bodies)
    assert _loop(chat, name + kind, _known, streamed=streamed) == "It is here."
    first, refused, second = map(json.loads, thinkers.bodies[before:])
    assert "thinking" not in first  # no more of the next turn than of this one
    assert second == {**refused, "thinking": {"type": "disabled"}}


def test_a_model_that_always_thinks_refuses_the_second_request_too(
    chat: openai.OpenAI, thinkers: ModelServer
) -> None:
    before = len(thinkers.bodies)
    with pytest.raises(openai.BadRequestError, match="disabled is not supported"):
        _loop(chat, "always", _known, streamed=False)
    assert len(thinkers.bodies) == before + 3


@STREAMED
@AS
@pytest.mark.parametrize("back", [_whole, _known])
def test_a_chat_client_gives_encrypted_reasoning_back(
    chat: openai.OpenAI, thinkers: ModelServer, back: Any, kind: str, *, streamed: bool
) -> None:
    """OpenAI's servers also answer without it, but then lack their earlier reasoning."""
    before = len(thinkers.bodies)
    assert _loop(chat, f"openai{kind}", back, streamed=streamed) == "It is here."
    _, second = map(json.loads, thinkers.bodies[before:])
    reasoning = [item for item in second["input"] if item.get("type") == "reasoning"]
    assert reasoning == ([SECRET] if back is _whole else [])
