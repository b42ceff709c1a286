"""A model server on loopback that speaks OpenAI's form of pictures and speech, in a thread of its own."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PICTURE = base64.b64encode(b"a whole picture").decode()
PREVIEW = base64.b64encode(b"a preview").decode()
SPEECH = bytes(range(256)) * 5


class Handler(BaseHTTPRequestHandler):
    """`asked` collects the requests of clients."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))  # type: ignore[attr-defined]
        if self.path == "/v1/audio/speech":
            self._chunks("audio/mpeg", [SPEECH[n : n + 100] for n in range(0, len(SPEECH), 100)])
        elif body.get("model") == "broken":
            self._reply(500, {"error": {"message": "out of paint"}})
        elif body.get("stream") is False:
            self._reply(200, {"data": [{"b64_json": PICTURE}], "usage": _USAGE})
        else:
            self._chunks("text/event-stream", [_event(event) for event in EVENTS])

    def _reply(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chunks(self, kind: str, pieces: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in [*pieces, b""]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


_USAGE = {"input_tokens": 7, "output_tokens": 11, "total_tokens": 18}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "image_generation.partial_image",
        "b64_json": PREVIEW,
        "partial_image_index": 0,
        "output_format": "png",
    },
    {
        "type": "image_generation.completed",
        "b64_json": PICTURE,
        "output_format": "png",
        "usage": _USAGE,
    },
]


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


class QuietServer(ThreadingHTTPServer):
    """A client that has read enough closes its connection; that is not worth a report."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def media_server() -> Generator[tuple[str, list[tuple[str, Any]]], None, None]:
    """The server's base URL, and the requests that it received."""
    server = QuietServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
