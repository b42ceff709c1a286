"""kill -9 in the middle of an answer on AG-UI: a client's list of messages holds the answer and nothing
else of the reply that was cut off.

The client sends its list with the next message, so the model takes every text that stays in it for its own
output.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from tests.crash.test_said_once import CUT, OTHER, TOLD, Json, killed, says
from tests.support.agui_thread import Thread, frames, user
from tests.support.servers import ChildServer

TOOL = {"name": "f", "description": "", "parameters": {"type": "object"}}


def cut_off(server: ChildServer, thread: Thread, body: Json, shown: str) -> list[bytes]:
    """The events of a run whose server is killed when the last piece of a reply's beginning is shown."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", thread.path, json.dumps(body))
    reply = connection.getresponse()
    data = b""
    while shown.encode() not in data:
        data += reply.read1(65536)
    server.kill()
    connection.close()
    return frames(data)


@pytest.mark.parametrize(
    ("place", "last"),
    [
        ("in its text", "there was a"),
        ("in its thoughts", "Let me think"),
        ("in its text after thoughts", "there was a"),
        ("in the arguments of a call", '{\\"wo'),
    ],
)
async def test_a_clients_list_holds_the_answer_alone(tmp_path: Path, place: str, last: str) -> None:
    shown = CUT[place]
    async with killed(tmp_path, (), says(*shown), says(*OTHER), says(*OTHER)) as (reader, peers):
        thread = Thread(reader.server, "helper")
        thread.messages.append(user("Tell me"))
        body = thread.body(tools=[TOOL])
        seen = await asyncio.to_thread(cut_off, reader.server, thread, body, last)
        await reader.again()
        made = await asyncio.to_thread(thread.take, body)
        assert made[: len(seen)] == seen
        roles = [message["role"] for message in thread.messages]
        assert [role for role in roles if role != "activity"] == ["user", "assistant"]
        assert thread.messages[-1]["content"] == "Another answer."
        await asyncio.to_thread(thread.go, "And then?")
    told = json.loads(peers[-1].body)["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    assert told[1]["content"] == "Another answer."


async def test_a_client_that_keeps_it_as_a_message_is_not_believed(tmp_path: Path) -> None:
    """A client that does not support activities sends the cut message back, with the status that we gave
    it."""
    async with killed(tmp_path, (), says(*OTHER)) as (reader, peers):
        thread = Thread(reader.server, "helper")
        cut = {"tailrace": {"status": "abandoned"}}
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
        thread.messages += [
            user("Tell me"),
            {"id": "m1", "role": "assistant", "content": "Once", "metadata": cut},
            {"id": "m2", "role": "assistant", "toolCalls": [call], "metadata": cut},
            {"id": "t2", "role": "tool", "toolCallId": "c1", "content": "It was cut off."},
            {"id": "m3", "role": "assistant", "content": "Another answer."},
        ]
        await asyncio.to_thread(thread.go, "And then?")
    told = json.loads(peers[-1].body)["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]


async def test_what_may_be_all_there_is_stays(tmp_path: Path) -> None:
    """The next attempt fails before it has produced a complete reply."""
    dies = says({"delta": {"content": "Other"}}, {"finish_reason": "abort", "delta": {}})
    async with killed(tmp_path, (), says(*TOLD), dies) as (reader, _):
        thread = Thread(reader.server, "helper")
        thread.messages.append(user("Tell me"))
        body = thread.body()
        await asyncio.to_thread(cut_off, reader.server, thread, body, "there was a")
        await reader.again()
        await asyncio.to_thread(thread.take, body)
    assert thread.reader.ends[-1]["type"] == "RUN_ERROR"
    said = [each["content"] for each in thread.messages if each["role"] == "assistant"]
    assert said == ["Once upon a time there was a", "Other"]
