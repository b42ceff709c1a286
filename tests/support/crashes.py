"""Servers that die at a chosen write, and clients that keep what they saw."""

from __future__ import annotations

import http.client
from pathlib import Path

from tests.support.servers import ChildServer

KILLER = (Path(__file__).parents[1] / "crash" / "killing_server.py").read_text(encoding="utf-8")
DONE = b"data: [DONE]\n\n"


def frames_of(body: bytes) -> list[bytes]:
    """Whole frames, heartbeats and farewells left out; what was cut off is no frame."""
    *whole, _ = body.split(b"\n\n")
    lines = [
        b"\n".join(ln for ln in frame.split(b"\n") if not ln.startswith(b":")) for frame in whole
    ]
    return [frame + b"\n\n" for frame in lines]


def read(
    url_port: int, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """A reply's run id and all frames that arrived before the connection ended, however it did."""
    connection = http.client.HTTPConnection("127.0.0.1", url_port, timeout=20)
    data = bytearray()
    run = ""
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        reply = connection.getresponse()
        run = reply.headers.get("x-run-id", "").removeprefix("run_")
        while piece := reply.read1(65536):
            data += piece
    except (http.client.HTTPException, OSError):
        pass  # killed in the middle: what arrived counts
    finally:
        connection.close()
    return run, frames_of(bytes(data))


def killer(number: int, side: str) -> str:
    first, second = f"'{number}'", f"'{side}'"
    return KILLER.replace("sys.argv.pop(1)", first, 1).replace("sys.argv.pop(1)", second, 1)


def read_until_killed(
    server: ChildServer, method: str, path: str, body: bytes | None = None
) -> tuple[str, list[bytes]]:
    """Read a stream; when it breaks off, the server has been killed: see it dead."""
    run, frames = read(server.port, method, path, body)
    if frames[-1:] != [DONE]:
        assert server.process is not None
        server.process.wait(timeout=10)
    return run, frames
