"""A failure of a Messages server, in any form, is never an answer."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.events import types as t
from tailrace.protocols.anthropic_messages import reply, stream
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tests.support.anthropic_replies import (
    START,
    STOP,
    TEXT,
    Object,
    begin,
    end,
    piece,
    read,
    stop,
)
from tests.support.logs import RUN, log

FAILED: dict[str, list[Object | bytes]] = {
    "a cut": [begin(0, TEXT), piece(0, "text", "ok"), stop(0)],
    "a cut after counts": [begin(0, TEXT), piece(0, "text", "ok"), end(None)],
    "an error": [{"type": "error", "error": {"type": "api_error", "message": "broken"}}],
    "an error after the answer": [
        begin(0, TEXT),
        piece(0, "text", "ok"),
        end("end_turn"),
        {"type": "error", "error": {"type": "overloaded_error", "message": "broken"}},
    ],
    "an error without a type": [b'data: {"error":{"message":"broken"}}\n\n'],
    "an error that is a text": [b'data: {"type":"error","error":"broken"}\n\n'],
    "an error by its name": [b'event: error\ndata: {"message":"broken"}\n\n'],
    "an error by its object": [b'data: {"object":"error","message":"broken"}\n\n'],
    "a reason that is no answer": [begin(0, TEXT), piece(0, "text", "o"), end("abort"), STOP],
}


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_is_no_answer(name: str) -> None:
    state, failure = read([START, *FAILED[name]])
    assert failure is not None
    assert not state.usage
    if name.startswith("an error"):
        assert failure.message == "broken"
    for word in ("Expected", "NoneType", "grammar", "Traceback"):
        assert word not in failure.message


def test_an_overloaded_server_is_called_so_on_this_surface() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    told = [MessagesCodec().failure(529, body), read([START, b"data: " + body + b"\n\n"])[1]]
    for failure in told:
        assert failure is not None
        assert failure.retryable
        end = t.RunFailed(failure.code, failure.message, failure.param, failure.dialect)
        document, status = reply.message(RUN, log([], end=end), stream.MessagesStreamOptions())
        assert status == 529
        assert msgspec.json.decode(document)["error"]["type"] == "overloaded_error"
    assert MessagesCodec().failure(429, body).code == "rate_limit_exceeded"
