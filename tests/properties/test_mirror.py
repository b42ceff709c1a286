"""The mirror: our own upstream decoders understand the output of our encoders. `decode(encode(log))`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given

from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import StreamEncoder, UpstreamCodec
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import stream as responses
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tests.support.legal_logs import legal_logs
from tests.support.logs import RUN

DIALECTS: dict[str, UpstreamCodec] = {
    "responses": ResponsesCodec(),
    "chat": ChatCodec(),
    "messages": MessagesCodec(),
}
SAYS_CANCELLED = ("chat", "messages", "responses")
"""Dialects in which a cancelled run is not a usable reply."""


def _encoder(dialect: str) -> StreamEncoder:
    if dialect == "chat":
        return chat.ChatEncoder(RUN, chat.ChatStreamOptions(include_usage=True))
    if dialect == "messages":
        return messages.MessagesEncoder(RUN, messages.MessagesStreamOptions())
    return responses.ResponsesEncoder(RUN, responses.ResponsesStreamOptions())


def _shown_calls(log: Sequence[t.Event]) -> set[int]:
    """The calls that a Messages client is shown: complete calls, and the remains of calls that were cut
    off, except those that another reply replaces."""
    state, found = RunState(), set[int]()
    for event in log:
        payload = event.payload
        if isinstance(payload, t.ItemCompleted):
            whole = payload.status == "completed"
            if whole or not state.items[payload.item].abandoned:
                found.add(payload.item)
        state.apply(event)
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
@given(log=legal_logs(pauses=False))
def test_what_is_encoded_is_decoded(dialect: str, log: Sequence[t.Event]) -> None:
    shown = {
        e.node
        for e in log
        if isinstance(e.payload, t.NodeStarted) and e.payload.node_type == "deep_agent"
    }
    everyone = [e.payload for e in log if e.node in shown]
    events = [e.payload for e in log if e.node in shown and e.agent in (t.MAIN, t.NO_AGENT)]
    decoder = DIALECTS[dialect].decoder("m")
    data = b"".join(_encoder(dialect).encode(log))
    made = [*decoder.feed(data), *decoder.close()]
    assert (decoder.failure is not None) == isinstance(log[-1].payload, t.RunFailed) or (
        dialect in SAYS_CANCELLED and isinstance(log[-1].payload, t.RunCancelled)
    )

    def text(payloads: Sequence[t.Payload]) -> str:
        said = "".join(p.text for p in payloads if isinstance(p, t.TextDelta))
        return said.replace("\n\n", "") if dialect == "chat" else said

    called = _shown_calls(log)

    def calls(payloads: Sequence[t.Payload]) -> list[tuple[str, str]]:
        return [
            (p.call_id, p.name)
            for p in payloads
            if isinstance(p, t.ItemStarted) and p.kind == "tool_call" and p.runs_on == "client"
            if dialect != "messages" or payloads is made or p.item in called
        ]

    if (
        dialect == "messages"
    ):  # a call is shown when it ends, and not at all when another reply replaces it
        assert sorted(calls(made)) == sorted(calls(events))
        said = [p for p in events if isinstance(p, t.RefusalDelta | t.TextDelta)]
        assert sorted(text(made)) == sorted("".join(p.text for p in said))
    else:
        if dialect == "chat" and decoder.failure is not None:
            # A call without arguments waits: the next frame may decide whether it is a call.
            assert set(calls(made)) <= set(calls(events))
        else:
            assert calls(made) == calls(events)
        assert sorted(text(made)) == sorted(text(events))
    if decoder.done:
        assert isinstance(made[-1], t.Usage)
        spent = [p for p in everyone if isinstance(p, t.Usage)]
        assert made[-1].input == sum(p.input for p in spent)
        assert made[-1].output == sum(p.output for p in spent)
