"""The end of a run has all details of its failure, also after it was stored on disk."""

from __future__ import annotations

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import stored
from tailrace.events import types as t
from tailrace.events.failures import run_failed

END = t.RunFailed("model_not_found", "no", "model", "chat", 404, "invalid_request_error", 7.5)


def test_nothing_is_lost() -> None:
    failure = ModelFailed(
        "no",
        code="model_not_found",
        status=404,
        param="model",
        dialect="chat",
        error_type="invalid_request_error",
        retry_after=7.5,
        public="The model server answered 404.",
        detail="secret",
    )
    assert run_failed(failure) == END
    assert run_failed(failure.but(message="other")) == msgspec.structs.replace(END, message="other")
    event = t.Event(0, 0, "", t.NO_AGENT, END)
    assert stored.decode(stored.line(event))[0] == event


def test_a_log_of_before_is_read() -> None:
    old = b'[0,0,"","",{"type":"run.failed","code":"server_error","message":"no"}]'
    assert stored.decode(old)[0].payload == t.RunFailed("server_error", "no")
    assert stored.line(stored.decode(old)[0]) == old
