"""A run that reached a limit, on every surface: each of these limits is reported like any other of ours."""

from __future__ import annotations

import pytest

from tailrace.events import types as t
from tailrace.service.views import VIEWS
from tests.support.logs import RUN, log, request, text

REASONS = (
    "max_reply_bytes",
    "max_reply_events",
    "max_run_bytes",
    "max_run_events",
    "max_event_bytes",
)


def shown(surface: str, reason: str) -> bytes:
    events = log([*text(0, "A very long"), t.Usage("fast")], end=t.RunIncomplete(reason))
    return b"".join(VIEWS[surface](RUN, request()).encoders().encode(events))


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("surface", VIEWS)
def test_a_runtimes_own_limit_is_reported_like_any_other(surface: str, reason: str) -> None:
    assert shown(surface, reason).replace(reason.encode(), b"max_seconds") == shown(
        surface, "max_seconds"
    )
