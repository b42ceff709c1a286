"""CPU per chunk of a model server's reply: Chat Completions → tailrace → SQLite → Responses, paced.

The peer passes the same chunks on as they are: a uvicorn application that reads them with aiohttp and writes
the bytes. The model server runs beside the load; only the server in the middle is charged. A chunk is one of
the content chunks; what opens and ends a reply is paid by them.
"""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks.harness import Server, load, median, post, raw, responses, tailrace, upstream

STREAMS, CHUNKS, PAUSE = 500, 100, 0.05
ROUNDS = 3
LONGEST_SECONDS = 60

CONFIG = """
[models.warm]
dialect = "chat"
base_url = "http://127.0.0.1:{port}/20/0"
model = "bench"

[models.paced]
dialect = "chat"
base_url = "http://127.0.0.1:{port}/{chunks}/{pause}"
model = "bench"
"""

PASS_THROUGH = """
import sys, aiohttp, uvicorn
session = None

async def app(scope, receive, send):
    global session
    if scope['type'] != 'http':
        return
    if session is None:
        unlimited = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(connector=unlimited, timeout=aiohttp.ClientTimeout())
    body, more = b'', True
    while more:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    async with session.post(f'http://127.0.0.1:{sys.argv[2]}{scope["path"]}', data=body) as reply:
        headers = [(b'content-type', b'text/event-stream')]
        await send({'type': 'http.response.start', 'status': reply.status, 'headers': headers})
        async for data in reply.content.iter_any():
            await send({'type': 'http.response.body', 'body': data, 'more_body': True})
    await send({'type': 'http.response.body', 'body': b''})

port = int(sys.argv[1])
uvicorn.run(app, port=port, loop='uvloop', http='httptools', log_level='error', lifespan='off')
"""


def main() -> list[str]:
    """Rows of the results table."""
    ours: list[float] = []
    theirs: list[float] = []
    with upstream() as model:
        config = CONFIG.format(port=model.port, chunks=CHUNKS, pause=PAUSE)
        for _ in range(ROUNDS):
            with tailrace(config) as server:
                ours.append(_cost(server, responses("warm", 1), responses("paced", 1)))
            with raw(PASS_THROUGH, str(model.port)) as server:
                warm, paced = (f"/{way}/chat/completions" for way in ("20/0", f"{CHUNKS}/{PAUSE}"))
                theirs.append(_cost(server, post(warm, {}), post(paced, {})))
    mine, peer = median(ours), median(theirs)
    return [
        f"| gateway, {STREAMS} streams x {1 / PAUSE:.0f}/s, per upstream chunk | {mine:.1f} µs "
        f"| {peer:.1f} µs (pass-through) | {mine / peer:.2f} |"
    ]


def _cost(server: Server, warm: bytes, paced: bytes) -> float:
    """Microseconds of server CPU per content chunk, once its code has run and its sockets are open."""

    async def scene() -> float:
        async with asyncio.timeout(LONGEST_SECONDS):
            await load(server.port, warm, 20)
            before = server.cpu()
            readers = await load(server.port, paced, STREAMS)
            spent = server.cpu() - before
        if any(reader.frames < CHUNKS for reader in readers):
            raise RuntimeError("a stream ended before its time")
        return spent / STREAMS / CHUNKS * 1e6

    return uvloop.run(scene())


if __name__ == "__main__":
    print("\n".join(main()))
