"""Complete recordings, in one dialect in and out: the official SDK reads from our stream what it reads from
the server's, and the client's request arrives at the server.

Permitted differences are listed here as normalisations, each with its reason; PROTOCOLS.md has the same
list. The recordings are beside the checkout and are not ours to commit; without them these tests are
skipped by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai._models import construct_type
from openai._types import omit
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tailrace.events import types as t
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_chat import upstream_wire
from tailrace.protocols.openai_responses import stream as responses
from tests.protocols.test_every_field import sent
from tests.recordings.test_recordings import FILES, FOLDER, frames_of, play
from tests.support import strict
from tests.support.logs import RUN

Object = dict[str, Any]
REQUESTS = sorted(FOLDER.rglob("*.request.json"))

pytestmark = [
    pytest.mark.skipif(not FILES, reason="the recordings are not beside this checkout"),
    pytest.mark.filterwarnings("ignore:.*Pydantic serializer warnings"),  # the SDK reads loosely
]


def _without(fields: Object, names: Iterable[str]) -> Object:
    dropped = set(names)
    return {k: v for k, v in fields.items() if k not in dropped}


def _said(value: Any) -> Any:
    """The value without null fields, which have no meaning, at any depth that the SDK models."""
    if isinstance(value, dict):
        return {k: _said(v) for k, v in value.items() if v is not None}
    return [_said(each) for each in value] if isinstance(value, list) else value


# requests: the client's words at the server

REQUEST: dict[str, list[tuple[str, Callable[[Object], Object]]]] = {
    # for both sides: the request of the client and the request that arrived
    "all": [
        ("the model is the server's name for it", lambda r: _without(r, ["model"])),
        ("the reply is always asked for as a stream", lambda r: _without(r, ["stream"])),
        ("null is absent", _said),
        ("no tools are none", lambda r: _without(r, [] if r.get("tools") else ["tools"])),
        (
            "auto is what is done anyway",
            lambda r: _without(r, ["tool_choice"] if r.get("tool_choice") == "auto" else []),
        ),
    ],
    "chat": [
        ("usage is always asked for", lambda r: _without(r, ["stream_options"])),
        ("one choice is what is done anyway", lambda r: _without(r, ["n"])),
        ("the limit has the name that the server knows", lambda r: _limited(r)),
        (
            "a text of one part is a string",
            lambda r: {**r, "messages": [_plain(m) for m in r["messages"]]},
        ),
    ],
    "responses": [
        (
            "whether and where the run is kept is ours",
            lambda r: _without(
                r,
                ["store", "background", "conversation", "previous_response_id", "metadata"],
            ),
        ),
        ("instructions without a character are none", lambda r: _instructed(r)),
        ("a bare message is told its type", lambda r: {**r, "input": _typed(r.get("input"))}),
        (
            "thoughts are asked for where they must come back",
            lambda r: {**r, "include": [i for i in r.get("include", ()) if i != _THOUGHTS]},
        ),
    ],
    "messages": [
        (
            "a string is one text block",
            lambda r: {**r, "messages": [_blocks(m) for m in r["messages"]]},
        ),
    ],
}
_THOUGHTS = "reasoning.encrypted_content"


def _limited(request: Object) -> Object:
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    rest = _without(request, ["max_tokens", "max_completion_tokens"])
    return rest if limit is None else {**rest, "limit": limit}


def _instructed(request: Object) -> Object:
    return request if request.get("instructions") else _without(request, ["instructions"])


def _plain(message: Object) -> Object:
    content = message.get("content")
    if isinstance(content, list) and all(set(p) == {"type", "text"} for p in content):
        content = "".join(part["text"] for part in content)
    return {**message, "content": content or ""}


def _typed(value: Any) -> list[Object]:
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [{"type": "message", **item} if "role" in item else item for item in value]


def _blocks(message: Object) -> Object:
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return {**message, "content": content}


def test_there_is_a_request_to_each() -> None:
    assert len(REQUESTS) >= 60


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_a_client_sent_arrives(path: Path) -> None:
    dialect, said = path.parent.name, json.loads(path.read_bytes())
    if not isinstance(said, dict):
        pytest.skip("a request without a body: of a stream that is resumed")
    arrived = sent(dialect, said)
    for _, normal in (*REQUEST["all"], *REQUEST[dialect]):
        said, arrived = normal(said), normal(arrived)
    assert arrived == said


# replies: the server's words at the client, as the SDK adds them up

CHAT: list[tuple[str, Callable[[Object], Object]]] = [
    (
        "ids, times and what is for this connection alone are ours",
        lambda c: _without(c, ["id", "created", "model", "object", "obfuscation", "x_groq"]),
    ),
    ("null, and a text without a character, say nothing", lambda c: _spoken(_said(c))),
    ("reasoning rides in `reasoning_content`", lambda c: _choice(c, _reasoned)),
    ("pieces of one detail of reasoning are one", lambda c: _choice(c, _whole_details)),
    ("entries of lists have an index", lambda c: _choice(c, _unnumbered)),
    ("a role that is said on each chunk is one", lambda c: _choice(c, _role)),
    ("an end that nobody told is a stop", lambda c: _ended(c)),
    ("counts have all fields that the SDK knows", lambda c: {**c, "usage": _counted(c)}),
    ("a tier that nobody told is the default", lambda c: _tier(c)),
]


def by_sdk_chat(frames: Iterable[Object]) -> Object:
    """The document that the SDK's helper accumulates. Beside the choices the helper keeps the values of the
    first chunk; a client that reads the chunks keeps all."""
    state: Any = ChatCompletionStreamState(input_tools=omit, response_format=omit)
    beside: Object = {}
    for data in frames:
        beside |= {k: v for k, v in data.items() if k != "choices" and v not in (None, "")}
        groq = data.get("x_groq") or {}
        beside |= {"usage": groq["usage"]} if groq.get("usage") else {}
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=_plain_thought(data)))
    document: Object = state.current_completion_snapshot.model_dump(
        exclude_unset=True, by_alias=True, warnings=False
    )
    return {**document, **beside}


def _plain_thought(chunk: Object) -> Object:
    """Mistral sends thoughts in parts of the content, which the SDK's types do not have."""
    choices = []
    for choice in chunk["choices"]:
        delta = choice["delta"]
        if isinstance(delta.get("content"), list):
            thought = [p for part in delta["content"] for p in part.get("thinking", ())]
            text = [part["text"] for part in delta["content"] if part["type"] == "text"]
            delta = {
                **delta,
                "content": "".join(text),
                "reasoning_content": "".join(part["text"] for part in thought),
            }
        choices.append({**choice, "delta": delta})
    return {**chunk, "choices": choices}


def _spoken(completion: Object) -> Object:
    made = {k: v for k, v in completion.items() if v != ""}
    for choice in made["choices"]:
        choice["message"] = {k: v for k, v in choice["message"].items() if v not in ("", [])}
        if not choice.get("logprobs"):
            choice.pop("logprobs", None)
    return made


def _whole_details(message: Object) -> Object:
    if "reasoning_details" in message:
        message["reasoning_details"] = upstream_wire.join_details(message["reasoning_details"])
    return message


def _role(message: Object) -> Object:
    return {**message, "role": "assistant"}


def _ended(completion: Object) -> Object:
    choices = [{"finish_reason": "stop", **choice} for choice in completion["choices"]]
    return {**completion, "choices": choices}


def _choice(completion: Object, change: Callable[[Object], Object]) -> Object:
    made = [{**c, "message": change(dict(c["message"]))} for c in completion["choices"]]
    return {**completion, "choices": made}


def _reasoned(message: Object) -> Object:
    words = message.pop("reasoning", None)
    return {**message, "reasoning_content": words} if words else message


def _unnumbered(message: Object) -> Object:
    for field in ("tool_calls", "annotations", "reasoning_details", "images"):
        if field in message:
            message[field] = [_without(entry, ["index", "parsed"]) for entry in message[field]]
    return _without(message, ["parsed"])


def _counted(completion: Object) -> Any:
    usage = completion.get("usage") or {}
    counts = {k: usage.get(k) for k in ("prompt_tokens", "completion_tokens")}
    return counts if usage else None


def _tier(completion: Object) -> Object:
    if completion.get("service_tier") in (None, "default"):
        return _without(completion, ["service_tier"])
    return completion


def _chats() -> list[Path]:
    return [path for path in FILES if path.parent.name == "chat"]


@pytest.mark.parametrize("path", _chats(), ids=lambda path: path.stem)
def test_a_chat_servers_stream_is_read_as_it_was(path: Path) -> None:
    said = list(frames_of(path))
    events, state = play(path)
    frames = chat.ChatEncoder(RUN, chat.ChatStreamOptions(include_usage=True)).encode(events)
    if isinstance(state.end, t.RunFailed):
        told = json.loads(frames[-1].removeprefix(b"data: "))["error"]["message"]
        assert said[-1]["error"]["message"] in told
        return
    theirs = by_sdk_chat(chunk for chunk in said if "choices" in chunk)
    ours = by_sdk_chat(map(json.loads, strict.data_of(frames)))
    for _, normal in CHAT:
        theirs, ours = normal(theirs), normal(ours)
    assert ours == theirs


# In addition: if the end contradicts a value, the value that was shown first stays (`_first_said`).
RESPONSE: list[tuple[str, Callable[[Object], Object]]] = [
    ("null is absent", _said),
    (
        "ids, times and states of the run are ours",
        lambda r: _without(r, ["id", "created_at", "completed_at", "conversation", "store"]),
    ),
    (
        "what repeats the request repeats our client's",
        lambda r: _without(
            r,
            [
                *("background", "instructions", "max_output_tokens", "max_tool_calls"),
                *("metadata", "model", "parallel_tool_calls", "previous_response_id", "reasoning"),
                *("prompt_cache_key", "safety_identifier", "temperature", "text", "tool_choice"),
                *("tools", "top_logprobs", "top_p", "truncation", "user"),
                *("frequency_penalty", "presence_penalty"),
            ],
        ),
    ),
    ("a search's sources are addresses: the SDKs fail on others", lambda r: _sources(r)),
    ("items have ids of ours", lambda r: {**r, "output": [_item(i) for i in r["output"]]}),
    ("counts have all fields that the SDK knows", lambda r: {**r, "usage": _tokens(r)}),
    ("a tier that nobody told is the default", lambda r: _tier(r)),
]


def _first_said(frames: Sequence[Object]) -> list[Object]:
    """The frames, with each item of the final response as it was sent first: servers seal its thought again
    and recompute its probabilities there."""
    ends = {e["output_index"]: e["item"] for e in frames if e.get("type") == _ITEM_DONE}
    likely: dict[int, list[Object]] = {}
    for frame in frames:
        if frame.get("type") == "response.output_text.delta":
            likely.setdefault(frame["output_index"], []).extend(frame.get("logprobs") or ())
    made: list[Object] = []
    for frame in frames:
        response = frame.get("response") or {}
        if frame.get("type") == "response.completed" and len(ends) == len(response["output"]):
            output = [
                _as_ended(item, ends[n], likely.get(n, []))
                for n, item in enumerate(response["output"])
            ]
            frame = {**frame, "response": {**response, "output": output}}
        made.append(frame)
    return made


_ITEM_DONE = "response.output_item.done"


def _as_ended(item: Object, ended: Object, likely: list[Object]) -> Object:
    kept = {n: ended[n] for n in ("encrypted_content",) if n in item and n in ended}
    if item["type"] == "message" and likely:
        (part,) = item["content"]
        kept["content"] = [{**part, "logprobs": likely}]
    return {**item, **kept}


def _sources(response: Object) -> Object:
    for item in response["output"]:
        sources = (item.get("action") or {}).get("sources")
        if sources is not None:
            item["action"]["sources"] = [each for each in sources if each["type"] == "url"]
    return response


def _item(item: Object) -> Object:
    made = _without(item, ["id", "status", "parsed_arguments"])
    for field in ("content", "summary"):
        if isinstance(made.get(field), list):
            made[field] = [
                {k: v for k, v in _without(part, ["parsed"]).items() if v != []}
                for part in made[field]
            ]
            if not made[field]:
                del made[field]
    return made


def _tokens(response: Object) -> Any:
    usage = response.get("usage") or {}
    return {k: usage.get(k) for k in ("input_tokens", "output_tokens", "total_tokens")}


def by_sdk_responses(frames: Iterable[Object]) -> Object:
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Any = None
    for data in frames:
        if not data.get("type"):
            continue
        event: Any = construct_type(type_=ResponseStreamEvent, value=data)
        last = (state.handle_event(event) or [last])[-1]
    document: Object = last.response.model_dump(exclude_unset=True, by_alias=True, warnings=False)
    return document


def _resp() -> list[Path]:
    return [path for path in FILES if path.parent.name == "responses"]


@pytest.mark.parametrize("path", _resp(), ids=lambda path: path.stem)
def test_a_responses_servers_stream_is_read_as_it_was(path: Path) -> None:
    said = list(frames_of(path))
    events, _ = play(path)
    options = responses.ResponsesStreamOptions(include=(_THOUGHTS,))
    frames = responses.ResponsesEncoder(RUN, options).encode(events)
    if said[0]["type"] != "response.created":
        pytest.skip("the second half of a stream that was resumed: the SDK reads no half")
    theirs, ours = (
        by_sdk_responses(_first_said(said)),
        by_sdk_responses(map(json.loads, strict.data_of(frames))),
    )
    for _, normal in RESPONSE:
        theirs, ours = normal(theirs), normal(ours)
    assert ours == theirs
