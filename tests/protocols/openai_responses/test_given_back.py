"""Items of a Responses server go back to it complete, in the next request of a client that continues from
its reply."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from tailrace.events.history import conversation
from tailrace.events.request import ModelRequest
from tailrace.events.state import fold
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.protocols.openai_responses.test_upstream import bare, played
from tests.support import responses_replies
from tests.support.responses_replies import told, wire


@given(items=responses_replies.items())
def test_the_server_gets_its_own_fields_back(items: list[dict[str, Any]]) -> None:
    """The next request is that of an agent, or of a client that names this reply."""
    events, failure = played(wire(told(items)))
    assert failure is None
    asked = ModelRequest(items=conversation(fold(events), begin=()))
    sent = json.loads(ResponsesCodec().request(asked, "m").body)["input"]
    calls = {item["call_id"] for item in items if "call_id" in item}
    said = [
        item for item in sent if not (item["type"].endswith("_output") and item["call_id"] in calls)
    ]
    assert [bare(item) for item in said] == [bare(item) for item in items]
