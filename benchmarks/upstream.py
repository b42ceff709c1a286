"""A model server that costs little: Chat Completions chunks at a pace. `python -m benchmarks.upstream PORT`

A POST to `/COUNT/PAUSE/...` is answered with COUNT content chunks, one every PAUSE seconds, at deadlines
counted from the request. The role chunk goes with the head; the finish chunk, the usage chunk and `[DONE]`
follow the last content chunk in a write of their own. The phases of the connections are spread evenly over
PAUSE, so that the chunks of many streams come as those of many users would, and not in bursts.
"""

from __future__ import annotations

import asyncio
import re
import sys
from itertools import count
from typing import cast

import uvloop

REQUEST = re.compile(
    rb"POST /(\d+)/([\d.]+)/.*?\r\ncontent-length: (\d+)\r\n(?:.*?\r\n)?\r\n", re.I | re.S
)
GOLDEN = 0.618034  # its multiples modulo 1 fill the interval evenly, however many there are

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
COMMON = (
    b'"id":"chatcmpl-CeFq4T0hWm2bP1xUj8sKzv6L","object":"chat.completion.chunk",'
    b'"created":1763690000,"model":"bench","service_tier":"default"'
)


def _chunk(data: bytes) -> bytes:
    """A frame of server-sent events as one HTTP chunk."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


def _choice(delta: bytes, finish: bytes = b"null") -> bytes:
    choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}' % (delta, finish)
    return _chunk(b'{%b,"choices":[%b],"usage":null}' % (COMMON, choice))


OPENING = HEAD + _choice(b'{"role":"assistant","content":""}')
CONTENT = _choice(b'{"content":" word"}')
USAGE = b'"usage":{"prompt_tokens":9,"completion_tokens":100,"total_tokens":109}'
ENDING = b"".join(
    (
        _choice(b"{}", b'"stop"'),
        _chunk(b'{%b,"choices":[],%b}' % (COMMON, USAGE)),
        _chunk(b"[DONE]"),
        b"0\r\n\r\n",
    )
)


class Reply(asyncio.Protocol):
    """A connection; it may ask again when it has its reply."""

    numbers = count()

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._phase = next(self.numbers) * GOLDEN % 1
        self._asked = b""
        self._left = 0
        self._pause = self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        asked = REQUEST.match(self._asked)
        if asked is None or len(self._asked) < asked.end() + int(asked[3]):
            return
        self._asked = b""
        self._left, self._pause = int(asked[1]), float(asked[2])
        self._transport.write(OPENING)
        self._due = self._loop.time() + self._pause * self._phase
        self._timer = self._loop.call_at(self._due, self._send)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _send(self) -> None:
        self._transport.write(CONTENT)
        self._left -= 1
        if not self._left:
            self._transport.write(ENDING)
            return
        self._due += self._pause
        self._timer = self._loop.call_at(self._due, self._send)


async def main(port: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Reply, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
