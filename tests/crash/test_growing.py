"""kill -9 again and again during one reply: while the reply grows the run continues; otherwise it is given
up.

The model sends the same text each time, plus one more piece, and hangs; the server that shows it is killed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.crash.test_said_once import (
    TOLD,
    Json,
    Reader,
    added_up,
    everywhere,
    killed,
    says,
)
from tests.support.chat_replies import STOP
from tests.support.crashes import frames_of
from tests.support.patience import patient
from tests.support.waiting import until

ASK: Json = {"model": "helper", "input": "Tell me", "stream": True}
TIMES = 5
WORDS: list[Json] = [{"delta": {"content": f" and {n}"}} for n in range(TIMES)]


def read_on(reader: Reader, run: str, seen: Sequence[bytes], words: int) -> list[bytes]:
    """README's loop until that many more pieces are shown; then the server is killed."""
    port = reader.server.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(20))
    path = f"/v1/responses/resp_{run}?stream=true&starting_after={len(seen) - 1}"
    connection.request("GET", path)
    reply = connection.getresponse()
    data = b""
    while data.count(b".delta\n") < words:
        piece = reply.read1(65536)
        assert piece, "the run ended"
        data += piece
    reader.server.kill()
    connection.close()
    return [*seen, *frames_of(data)]


async def test_a_reply_that_grows_after_each_kill_streams_to_its_end(tmp_path: Path) -> None:
    lives = [says(*TOLD, *WORDS[:n]) for n in range(TIMES)]
    last = says(*TOLD, *WORDS, STOP)
    async with killed(tmp_path, (), *lives, last) as (reader, peers):
        run, seen = await reader.begin(ASK, len(TOLD))
        for _ in range(1, TIMES):
            await reader.again()
            seen = await asyncio.to_thread(read_on, reader, run, seen, 1)
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        told = "".join(chunk["delta"]["content"] for chunk in (*TOLD, *WORDS))
        assert await everywhere(reader, run, whole) == {told}
    assert len(peers) == TIMES + 1
    assert b'"status":"incomplete"' not in b"".join(whole)


def _are_at_least(peers: Sequence[object], number: int) -> bool:
    return len(peers) >= number


async def test_a_reply_that_does_not_grow_is_given_up(tmp_path: Path) -> None:
    async with killed(tmp_path, (), says(*TOLD)) as (reader, peers):
        run, seen = await reader.begin(ASK, len(TOLD))
        for asked in (2, 3):
            await reader.again()
            await until(partial(_are_at_least, peers, asked))
            reader.server.kill()
        await reader.again()
        whole = seen + await reader.rest(run, seen)
        job: Any = await reader.get(f"/jobs/job_{run}")
    assert len(peers) == 3
    assert "3 attempts in a row were cut off" in job["error"]["message"]
    assert json.loads(whole[-2].partition(b"data: ")[2])["type"] == "response.failed"
    assert added_up(whole[:-1]) == "".join(chunk["delta"]["content"] for chunk in TOLD)
