"""Every reply has a request id by which the client can ask about it, whichever layer sends the reply."""

from __future__ import annotations

import re
import socket

import pytest

from tests.http.conftest import Answer, Ask
from tests.support.servers import ChildServer

CASES: dict[str, tuple[str, str, object, dict[str, str], int]] = {
    "alive": ("GET", "/healthz", None, {}, 200),
    "ready": ("GET", "/readyz", None, {}, 200),
    "the description": ("GET", "/openapi.json", None, {}, 200),
    "an unknown path": ("GET", "/nothing", None, {}, 404),
    "an unknown path of sessions": ("PUT", "/api/stream", None, {}, 405),
    "another method": ("DELETE", "/healthz", None, {}, 405),
    "a slash too many": ("GET", "/jobs/", None, {}, 307),
    "a page that may not": ("POST", "/jobs", {}, {"origin": "http://evil.example"}, 403),
    "a page that asks first": (
        "OPTIONS",
        "/jobs",
        None,
        {"origin": "http://app.test", "access-control-request-method": "POST"},
        200,
    ),
    "no JSON": ("POST", "/v1/responses", b"{", {}, 400),
    "no JSON of Anthropic's": ("POST", "/v1/messages", b"{", {}, 400),
    "a body that is too large": ("POST", "/v1/responses", b" " * 200_000, {}, 413),
    "no such run": ("GET", "/jobs/job_x/stream", None, {}, 404),
    "a run": ("POST", "/jobs", {"agent": "echo", "input": "x"}, {}, 202),
    "its stream": ("POST", "/v1/responses", {"model": "echo", "input": "x", "stream": 1}, {}, 400),
    "lines": ("POST", "/api/stream", {"message": "json"}, {}, 200),
}
FORM = re.compile(r"req_[0-9a-f]{24}|run_[0-9a-z]{26}")


def _identified(headers: dict[str, str]) -> str:
    id = headers["x-request-id"]
    assert FORM.fullmatch(id), id
    assert headers["request-id"] == id
    return id


@pytest.mark.parametrize("case", CASES)
def test_every_reply_has_an_id(ask: Ask, case: str) -> None:
    method, path, body, headers, status = CASES[case]
    found: Answer = ask(method, path, body, headers)
    assert found.status == status, found.body
    again: Answer = ask(method, path, body, headers)
    assert _identified(found.headers) != _identified(again.headers)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\na: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n", b"400"),
    ],
)
def test_an_invalid_request_gets_an_id_too(server: ChildServer, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        got = b""
        while piece := connection.recv(65_536):
            got += piece
    head, _, _ = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first.split()[1].encode() == status
    _identified(dict(line.split(": ", 1) for line in lines))
