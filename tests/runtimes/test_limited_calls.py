"""An agent whose model's reply reached its limit in the middle of a call: complete calls run, and no
others."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.request import ModelRequest, Settings, ToolSpec
from tailrace.runtimes.steps import AT_LIMIT
from tests.protocols.test_cut_calls import SAYS
from tests.protocols.test_upstream_errors import CODECS
from tests.support.team import agent, outputs, run, texts


class Server:
    """A model server after decoding: its replies, one after the other."""

    name = "m"

    def __init__(self, dialect: str, *replies: bytes) -> None:
        self.asked: list[Any] = []
        self._codec = CODECS[dialect]
        self._replies = replies

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        self.asked.append(json.loads(self._codec.request(request, "up").body))
        decoder = self._codec.decoder(self.name)
        yield decoder.feed(self._replies[len(self.asked) - 1])
        yield decoder.close()
        assert decoder.failure is None

    async def close(self) -> None:
        """There is nothing to release."""


END = {
    "chat": b'data: {"choices":[{"index":0,"delta":{"content":"done"},"finish_reason":"stop"}]}\n\n',
}
END["messages"] = b"".join(
    b"data: %b\n\n" % json.dumps(each).encode()
    for each in (
        {"type": "message_start", "message": {"id": "m", "usage": {}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "done"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
)
FIT = ("add", '{"a": 1, "b": 2}')


@pytest.mark.parametrize("dialect", END)
@pytest.mark.parametrize("cut", ['{"a": 1, "b"', ""])
async def test_calls_that_run_here_are_answered_and_the_model_continues(
    dialect: str, cut: str
) -> None:
    ran: list[tuple[int, int]] = []

    def add(a: int = 0, b: int = 0) -> int:
        """Add."""
        ran.append((a, b))
        return a + b

    server = Server(dialect, SAYS[dialect]([FIT, ("add", cut)], "length"), END[dialect])
    state, _ = await run(agent("lead", model=server, tools=(add,)))
    assert ran == [(1, 2)]
    assert outputs(state) == ["3", AT_LIMIT]
    assert texts(state) == ["done"]
    assert state.end == t.RunCompleted()
    assert AT_LIMIT in json.dumps(server.asked[1])


@pytest.mark.parametrize("dialect", END)
async def test_what_the_client_runs_ends_the_run_as_its_limit(dialect: str) -> None:
    server = Server(dialect, SAYS[dialect]([("theirs", '{"a"')], "length"))
    settings = Settings(tools=(ToolSpec(name="theirs"),))
    state, _ = await run(agent("lead", model=server), settings=settings)
    assert state.end == t.RunIncomplete("max_output_tokens")
    assert state.items[0].status == "incomplete"
    assert state.items[0].tool == "none"
    assert len(server.asked) == 1


@pytest.mark.parametrize("dialect", END)
async def test_arguments_that_a_model_wrote_badly_are_the_tools_to_refuse(dialect: str) -> None:
    def add(a: int) -> int:
        """Add."""
        return a

    server = Server(dialect, SAYS[dialect]([("add", '{"a": ')], "end"), END[dialect])
    state, _ = await run(agent("lead", model=server, tools=(add,)))
    (answer,) = outputs(state)
    assert answer != AT_LIMIT
    assert state.end == t.RunCompleted()
