"""A stand-in for model servers of all dialects: refuses what strict ones refuse, keeps every request."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from compat.coding import chat, messages, plan, responses

DIALECTS = {"/chat/completions": chat, "/messages": messages, "/responses": responses}


class ModelServer(ThreadingHTTPServer):
    """What was asked, and what was refused."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ids = itertools.count(1)
        self.asked: list[dict[str, Any]] = []
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        """One model call."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        path = self.path.partition("?")[0]
        dialect = next(module for end, module in DIALECTS.items() if path.endswith(end))
        fault = dialect.refusal(body)
        if fault:
            self.server.refused.append(fault)
            self._send(400, "application/json", json.dumps({"error": {"message": fault}}))
            return
        reply = plan.reply(dialect.turn(body))
        self._send(200, "text/event-stream", "".join(dialect.stream(reply, self.server.ids)))

    def _send(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what counts is kept."""


@contextmanager
def model_server() -> Generator[ModelServer, None, None]:
    """One that serves for the length of a `with`."""
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
