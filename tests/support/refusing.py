"""A real model server that refuses: its replies are in a table, by the first step of the path."""

from __future__ import annotations

import http.server
import threading
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from msgspec import Struct


class Refusal(Struct, frozen=True):
    """One reply. With status 200 the body is a stream."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


Answer = Refusal | Callable[[bytes], Refusal]
"""The same reply to every request, or one that depends on the body."""


class ModelServer:
    """Its URL, the number of requests for each of its replies, and the bodies that it received."""

    def __init__(self, port: int, table: Mapping[str, Answer]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.table = table
        self.asked: Counter[str] = Counter()
        self.bodies: list[bytes] = []


@contextmanager
def refusing(table: Mapping[str, Answer]) -> Generator[ModelServer]:
    """A server that replies to `POST /<name>/…` from the table."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            name = self.path.split("/")[1]
            here.asked[name] += 1
            answer = table[name]
            refusal = answer if isinstance(answer, Refusal) else answer(here.bodies[-1])
            self.send_response(refusal.status)
            kind = "text/event-stream" if refusal.status == 200 else "application/json"
            told = {"content-type": kind, **refusal.headers, "content-length": len(refusal.body)}
            for header, value in told.items():
                self.send_header(header, str(value))
            self.end_headers()
            self.wfile.write(refusal.body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = ModelServer(server.server_port, table)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
