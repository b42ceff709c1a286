"""kill -9 in the middle of an answer: no client is shown it twice, whatever the next reply is.

A model server of the test sends the beginning of a reply and hangs; the tailrace server that shows it is
killed. The next server's request is answered in the same words, in other words, or by a continuation of the
beginning that the request contains. The official SDKs' own helpers read what a client sees.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from tests.support import clusters, strict
from tests.support.chat_replies import STOP, frames
from tests.support.crashes import DONE, frames_of, read
from tests.support.nats_servers import Node
from tests.support.nats_servers import cluster as nats_cluster
from tests.support.servers import ChildServer
from tests.support.upstreams import HEAD, Peer, upstream

Json = Any

CONFIG = """
[server]
{{server}}

[models.m]
dialect = "{dialect}"
base_url = "{url}"
model = "m"
{more}

[agents.helper]
model = "m"
"""
OPENED = 3  # the event that opens a reply's first item, after the events of run, node and agent
BEGUN = "Once upon a time there was a"
THOUGHT = [{"delta": {"reasoning_content": "Let me think"}}]
TOLD = [{"delta": {"content": word}} for word in ("Once upon ", "a time ", "there was a")]
CALLED = [
    {"delta": {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f"}}]}},
    {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"wo'}}]}},
]
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]
CUT: dict[str, list[Json]] = {
    "in its text": TOLD,
    "in its thoughts": THOUGHT,
    "in its text after thoughts": [*THOUGHT, *TOLD],
    "in the arguments of a call": [*TOLD[:1], *CALLED],
}
"""The part of the reply that was shown when its server was killed."""
OTHER = [{"delta": {"content": "Another "}}, {"delta": {"content": "answer."}}, STOP]


def says(*chunks: Json) -> Callable[[Peer], Any]:
    """A reply as a model server streams it; without a finish reason the server hangs."""

    async def serve(peer: Peer) -> None:
        await peer.send(HEAD)
        for chunk in chunks:
            await peer.send(frames(chunk, done=False))
        if "finish_reason" in chunks[-1]:
            await peer.send(b"data: [DONE]\n\n")
        else:
            await peer.until_gone()

    return serve


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sequence[Node], None, None]:
    with nats_cluster(tmp_path_factory.mktemp("nats"), 1) as nodes:
        yield nodes


@pytest.fixture(params=["sqlite", "nats"])
def engine(request: pytest.FixtureRequest) -> Sequence[Node]:
    return request.getfixturevalue("node") if request.param == "nats" else ()


class Reader:
    """A client of a server that is killed and started again."""

    def __init__(self, server: ChildServer) -> None:
        self.server = server

    async def begin(self, body: Json, words: int) -> tuple[str, list[bytes]]:
        """Send a request, and read until that many pieces of the reply are shown. The connection stays
        open, so the run is not given up; it breaks when the server is killed."""
        return await asyncio.to_thread(self._begin, body, words)

    def _begin(self, body: Json, words: int) -> tuple[str, list[bytes]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.request(
            "POST", "/v1/responses", json.dumps(body), {"content-type": "application/json"}
        )
        reply = connection.getresponse()
        data = b""
        while data.count(b".delta\n") < words:
            data += reply.read1(65536)
        self.server.kill()
        while piece := _more(reply):
            data += piece
        connection.close()
        return reply.headers["x-run-id"].removeprefix("run_"), frames_of(data)

    async def again(self) -> None:
        """Start the next process."""
        await asyncio.to_thread(self.server.start)

    async def rest(self, run: str, seen: list[bytes]) -> list[bytes]:
        """README's loop: continue after the last event that was read."""
        path = f"/v1/responses/resp_{run}?stream=true&starting_after={len(seen) - 1}"
        _, rest = await asyncio.to_thread(read, self.server.port, "GET", path)
        return rest

    async def get(self, path: str) -> Json:
        return await asyncio.to_thread(self._call, "GET", path, None, {})

    async def post(self, path: str, body: Json, key: str = "") -> Json:
        head = {"content-type": "application/json"} | ({"idempotency-key": key} if key else {})
        return await asyncio.to_thread(self._call, "POST", path, json.dumps(body), head)

    def _call(self, method: str, path: str, body: str | None, head: dict[str, str]) -> Json:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.request(method, path, body, head)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _more(reply: http.client.HTTPResponse) -> bytes:
    try:
        return reply.read1(65536)
    except (http.client.HTTPException, OSError):
        return b""


@asynccontextmanager
async def killed(
    folder: Path, engine: Sequence[Node], *behaviours: Any, more: str = "", dialect: str = "chat"
) -> AsyncGenerator[tuple[Reader, list[Peer]], None]:
    async with upstream(*behaviours) as (url, peers):
        config = CONFIG.format(url=url, more=more, dialect=dialect)
        if engine:
            config = await clusters.config(engine, config)
        server = ChildServer(folder, config=config)
        await asyncio.to_thread(server.start)
        try:
            yield Reader(server), peers
        finally:
            server.kill()


def helped(frames: list[bytes]) -> Any:
    """The response of a stream's last event, as openai-python's helper returns it."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    seen: list[Any] = []
    for data in strict.data_of(frames):
        event: Any = construct_type(type_=ResponseStreamEvent, value=json.loads(data))
        seen += state.handle_event(event)
    return seen[-1].response


def added_up(frames: list[bytes]) -> str:
    """README's loop: the accumulated deltas of the items that the last event's response holds."""
    texts: dict[str, str] = {}
    event: Json = {}
    for data in strict.data_of(frames):
        event = json.loads(data)
        if event["type"] == "response.output_text.delta":
            texts[event["item_id"]] = texts.get(event["item_id"], "") + event["delta"]
    return "".join(texts.get(item["id"], "") for item in event["response"]["output"])


def pieces(chunks: list[Json]) -> int:
    """The number of deltas that show a reply's beginning."""
    shown = [
        chunk["delta"]
        for chunk in chunks
        if "tool_calls" not in chunk["delta"]
        or "arguments" in chunk["delta"]["tool_calls"][0]["function"]
    ]
    return len(shown)


async def everywhere(reader: Reader, run: str, frames: list[bytes]) -> set[str]:
    """The answer in each place that holds it."""
    strict.responses(frames)
    assert frames[-1] == DONE
    retrieved = await reader.get(f"/v1/responses/resp_{run}")
    job = await reader.get(f"/jobs/job_{run}")
    texts = [
        part["text"]
        for item in retrieved["output"]
        if item["type"] == "message"
        for part in item["content"]
    ]
    return {helped(frames).output_text, added_up(frames), "".join(texts), job["output_text"]}


@pytest.mark.parametrize("place", CUT)
async def test_another_answer_is_the_only_one(
    tmp_path: Path, engine: Sequence[Node], place: str
) -> None:
    shown = CUT[place]
    ask = {"model": "helper", "input": "Tell me", "stream": True}
    async with killed(tmp_path, engine, says(*shown), says(*OTHER)) as (reader, peers):
        run, seen = await reader.begin(ask, pieces(shown))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert await everywhere(reader, run, whole) == {"Another answer."}
        following = {**ask, "stream": False, "previous_response_id": f"resp_{run}"}
        await reader.post("/v1/responses", following)
    told = json.loads(peers[-1].body)["messages"]
    assert [m["content"] for m in told if m["role"] == "assistant"] == ["Another answer."]


@pytest.mark.parametrize("place", CUT)
async def test_an_equal_answer_resumes(tmp_path: Path, engine: Sequence[Node], place: str) -> None:
    """As without a crash: the same items, numbers without a gap, nothing incomplete."""
    shown = CUT[place]
    rest: list[Json] = [{"delta": {"content": " king."}}] if CALLED[0] not in shown else []
    if CALLED[0] in shown:
        arguments: Json = {"tool_calls": [{"index": 0, "function": {"arguments": 'rd":1}'}}]}
        rest = [{"delta": arguments}]
    ask: Json = {"model": "helper", "input": "Tell me", "stream": True, "tools": TOOLS}
    async with killed(tmp_path, engine, says(*shown), says(*shown, *rest, STOP)) as (reader, _):
        run, seen = await reader.begin(ask, pieces(shown))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        texts = await everywhere(reader, run, whole)
    assert len(texts) == 1
    data = [json.loads(each) for each in strict.data_of(whole)]
    assert [event["sequence_number"] for event in data] == list(range(len(data)))
    items = data[-1]["response"]["output"]
    added = [event for event in data if event["type"] == "response.output_item.added"]
    assert len(items) == len(added)
    assert b'"status":"incomplete"' not in b"".join(whole)
    calls = [json.loads(each["arguments"]) for each in items if each["type"] == "function_call"]
    assert calls == ([{"word": 1}] if CALLED[0] in shown else [])


@pytest.mark.parametrize("how", ["prefix", "continue_final_message", "prefill"])
@pytest.mark.parametrize("echoes", [False, True], ids=["the rest", "the whole"])
async def test_a_server_that_continues_replies_gets_the_beginning(
    tmp_path: Path, how: str, *, echoes: bool
) -> None:
    more = f'continue_reply = "{how}"'
    rest = [*(TOLD if echoes else []), {"delta": {"content": " king."}}, STOP]
    ask = {"model": "helper", "input": "Tell me", "stream": True}
    async with killed(tmp_path, (), says(*TOLD), says(*rest), more=more) as (reader, peers):
        run, seen = await reader.begin(ask, len(TOLD))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert await everywhere(reader, run, whole) == {BEGUN + " king."}
    asked = json.loads(peers[-1].body)
    assert asked["messages"][-1] == {
        "role": "assistant",
        "content": BEGUN,
        **({"prefix": True} if how == "prefix" else {}),
    }
    assert asked.get("continue_final_message", False) == (how == "continue_final_message")
    assert b'"status":"incomplete"' not in b"".join(whole)


def claude(words: Sequence[str], *, cached: int, whole: bool) -> Callable[[Peer], Any]:
    """A reply of a Messages server, whose cached tokens and thinking signature differ in each reply."""

    async def serve(peer: Peer) -> None:
        usage = {"input_tokens": 9, "cache_read_input_tokens": cached, "output_tokens": 1}
        begun = {"id": f"msg_{cached}", "role": "assistant", "model": "m", "content": []}
        signature = {"type": "signature_delta", "signature": f"S{cached}"}
        events: list[Json] = [
            {"type": "message_start", "message": {**begun, "usage": usage}},
            _block(0, {"type": "thinking", "thinking": "", "signature": ""}),
            _delta(0, {"type": "thinking_delta", "thinking": "Hm"}),
            _delta(0, signature),
            {"type": "content_block_stop", "index": 0},
        ]
        if not cached:  # a reply that continues a beginning has no new thinking
            events = events[:1]
        place = 1 if cached else 0
        events.append(_block(place, {"type": "text", "text": ""}))
        events += [_delta(place, {"type": "text_delta", "text": word}) for word in words]
        if whole:
            stop = {"stop_reason": "end_turn", "stop_sequence": None}
            events.append({"type": "content_block_stop", "index": place})
            events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}})
            events.append({"type": "message_stop"})
        await peer.send(HEAD)
        for event in events:
            await peer.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if not whole:
            await peer.until_gone()

    return serve


def _block(index: int, block: Json) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: Json) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}


WORDS = ("Once upon ", "a time ", "there was a")


async def test_a_messages_server_counts_and_signs_each_reply_again(tmp_path: Path) -> None:
    """The words are the same, so the answer continues, with the signature that was shown."""
    ask = {"model": "helper", "input": "Tell me", "stream": True}
    first = claude(WORDS, cached=1, whole=False)
    again = claude((*WORDS, " king."), cached=2, whole=True)
    async with killed(tmp_path, (), first, again, dialect="messages") as (reader, _):
        run, seen = await reader.begin(ask, 1 + len(WORDS))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert await everywhere(reader, run, whole) == {BEGUN + " king."}
    assert b'"status":"incomplete"' not in b"".join(whole)


async def test_a_messages_server_continues_from_a_beginning(tmp_path: Path) -> None:
    ask = {"model": "helper", "input": "Tell me", "stream": True}
    first = claude(WORDS, cached=0, whole=False)
    again = claude((" king.",), cached=0, whole=True)
    more = 'continue_reply = "prefill"'
    async with killed(tmp_path, (), first, again, more=more, dialect="messages") as (reader, peers):
        run, seen = await reader.begin(ask, len(WORDS))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert await everywhere(reader, run, whole) == {BEGUN + " king."}
    told = json.loads(peers[-1].body)["messages"][-1]
    assert told == {"role": "assistant", "content": BEGUN}


async def test_an_answer_that_a_limit_cut_is_the_only_one(tmp_path: Path) -> None:
    """The run does not complete, but a complete reply followed the one that a crash cut off."""
    ask = {"model": "helper", "input": "Tell me", "stream": True}
    limited = {"delta": {}, "finish_reason": "length"}
    async with killed(tmp_path, (), says(*TOLD), says(OTHER[0], limited)) as (reader, _):
        run, seen = await reader.begin(ask, len(TOLD))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert json.loads(strict.data_of(whole)[-1])["type"] == "response.incomplete"
        assert await everywhere(reader, run, whole) == {"Another "}


async def test_a_server_that_refuses_a_beginning_is_asked_for_a_new_reply(tmp_path: Path) -> None:
    async def refuse(peer: Peer) -> None:
        body = b'{"error":{"message":"no prefill here","type":"invalid_request_error"}}'
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
        await peer.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)

    ask = {"model": "helper", "input": "Tell me", "stream": True}
    async with killed(
        tmp_path, (), says(*TOLD), refuse, says(*OTHER), more='continue_reply = "prefill"'
    ) as (reader, peers):
        run, seen = await reader.begin(ask, len(TOLD))
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        assert await everywhere(reader, run, whole) == {"Another answer."}
    assert json.loads(peers[1].body)["messages"][-1]["role"] == "assistant"
    assert json.loads(peers[2].body)["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("surface", ["chat", "messages"])
async def test_a_waiting_client_gets_the_answer_once(tmp_path: Path, surface: str) -> None:
    """The client retries with its key, as the SDKs do."""
    messages = [{"role": "user", "content": "Tell me"}]
    body = {"model": "helper", "messages": messages, "max_tokens": 99}
    path = "/v1/chat/completions" if surface == "chat" else "/v1/messages"
    async with killed(tmp_path, (), says(*TOLD), says(*OTHER)) as (reader, _):
        asking = asyncio.create_task(reader.post(path, body, key="one"))
        while not (jobs := (await reader.get("/jobs"))["data"]):
            await asyncio.sleep(0)  # each request takes its time
        while (await reader.get(f"/jobs/{jobs[0]['id']}"))["last_seq"] < OPENED + len(TOLD):
            await asyncio.sleep(0)  # each request takes its time
        reader.server.kill()
        with pytest.raises((http.client.HTTPException, OSError)):
            await asking
        await reader.again()
        document = await reader.post(path, body, key="one")
    if surface == "chat":
        assert document["choices"][0]["message"]["content"] == "Another answer."
    else:
        assert [block["text"] for block in document["content"]] == ["Another answer."]
