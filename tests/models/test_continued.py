"""A server that continues a reply from its beginning: both parts together are the complete reply."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import Message, text_of
from tailrace.events.request import ModelRequest, OutputFormat, Settings
from tailrace.events.state import RunState
from tailrace.models.continued import SHORTEST, ContinuedModel
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.runtimes.node_lifecycle import ModelReply, ending, opening
from tests.support.logs import TS, request, user

BEGUN = "Once upon a time there was a "
Payloads = list[t.Payload]


class Server:
    """A model server after decoding: its replies to the requests, one after the other."""

    name = "m"

    def __init__(self, *replies: Payloads | ModelFailed) -> None:
        self.asked: list[ModelRequest] = []
        self._replies = replies

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Sequence[t.Payload], None]:
        self.asked.append(request)
        reply = self._replies[min(len(self.asked), len(self._replies)) - 1]
        if isinstance(reply, ModelFailed):
            raise reply
        for payload in reply:
            yield [payload]

    async def close(self) -> None:
        pass


def message(*words: str, item: int = 0) -> Payloads:
    return [
        t.ItemStarted(item, "message"),
        *(t.TextDelta(item, word) for word in words),
        t.ItemCompleted(item),
    ]


USAGE = t.Usage("m")


async def said(server: Server, begun: str, settings: Settings | None = None) -> RunState:
    """The log's view of the reply: the events must be legal."""
    state = RunState()
    asked = ModelRequest(items=(user("Hi"),), settings=settings or Settings(), beginning=begun)
    for draft in [t.Draft(t.RunStarted(request())), *opening(state, "helper")]:
        state.advance(draft, TS)
    reply = ModelReply(state)
    async for payloads in ContinuedModel(server).stream(asked):
        for draft in reply.convert(payloads):
            state.advance(draft, TS)
    for draft in ending(state):
        state.advance(draft, TS)
    return state


def texts(state: RunState) -> list[str]:
    return [text_of(i.content.content) for i in state.items if isinstance(i.content, Message)]


PIECES = st.lists(st.text("Once up", min_size=1, max_size=5), max_size=4)


@given(begun=st.text("Once up ", min_size=SHORTEST, max_size=24), rest=PIECES, echo=st.booleans())
async def test_the_beginning_and_what_follows_are_one_message(
    begun: str, rest: list[str], *, echo: bool
) -> None:
    """The server sends the rest alone or repeats the beginning, in any pieces."""
    pieces = [begun[:7], begun[7:], *rest] if echo else rest
    if not echo and "".join(rest).startswith((begun, *_spaces(begun))):
        return  # indistinguishable from a repeated beginning
    state = await said(Server([*message(*pieces), USAGE]), begun)
    assert texts(state) == [begun + "".join(rest)]


def _spaces(begun: str) -> tuple[str, ...]:
    space = begun[len(begun.rstrip()) :]
    return (space,) if space else ()


async def test_trailing_white_space_of_a_beginning_is_shown_once() -> None:
    """Anthropic refuses it at the end of a beginning, and starts its continuation with it."""
    assert texts(await said(Server([*message(" ", "king."), USAGE]), BEGUN)) == [BEGUN + "king."]


async def test_a_server_that_starts_the_reply_again_does_not_continue_it() -> None:
    """The server repeats much of the beginning, then differs: the two parts would not form a sentence."""
    said_anew = "Once upon a time there were two."
    pieces = [said_anew[:20], said_anew[20:]]
    assert texts(await said(Server([*message(*pieces), USAGE]), BEGUN)) == [said_anew]


async def test_log_probabilities_stay() -> None:
    odds = ({"token": "king.", "logprob": -1.0},)
    words = t.TextDelta(0, "king.", 0, odds)
    reply: Payloads = [t.ItemStarted(0, "message"), words, t.ItemCompleted(0)]
    state = await said(Server([*reply, USAGE]), BEGUN)
    (content,) = (item.content for item in state.items)
    assert isinstance(content, Message)
    assert getattr(content.content[0], "logprobs", ()) == odds


async def test_log_probabilities_after_the_seam_stay() -> None:
    """A server that repeats the beginning sends it in one piece with the rest."""
    odds = tuple({"token": token, "logprob": -1.0} for token in (BEGUN[:9], BEGUN[9:], "king", "."))
    words = t.TextDelta(0, BEGUN + "king.", 0, odds)
    reply: Payloads = [t.ItemStarted(0, "message"), words, t.ItemCompleted(0)]
    state = await said(Server([*reply, USAGE]), BEGUN)
    (content,) = (item.content for item in state.items)
    assert isinstance(content, Message)
    assert getattr(content.content[0], "logprobs", ()) == odds[2:]


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ([USAGE], [BEGUN]),
        ([*message(), USAGE], [BEGUN]),
        (
            [
                t.ItemStarted(0, "tool_call", name="f", call_id="c"),
                t.ArgumentsDelta(0, "{}"),
                t.ItemCompleted(0),
                USAGE,
            ],
            [BEGUN],
        ),
        (
            [
                t.ItemStarted(0, "reasoning"),
                t.ReasoningDelta(0, "Hm"),
                t.ItemCompleted(0),
                *message("king.", item=1),
                USAGE,
            ],
            [BEGUN, "king."],
        ),
        ([*message("king."), *message("The end.", item=1), USAGE], [BEGUN + "king.", "The end."]),
    ],
    ids=["nothing", "an empty message", "a call", "a thought first", "two messages"],
)
async def test_whatever_follows_the_reply_is_legal(reply: Payloads, shown: list[str]) -> None:
    assert texts(await said(Server(reply), BEGUN)) == shown


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_a_server_that_refuses_a_beginning_gets_the_request_without_it(status: int) -> None:
    server = Server(ModelFailed("no prefill", status=status), [*message("Another."), USAGE])
    assert texts(await said(server, BEGUN)) == ["Another."]
    assert [asked.beginning for asked in server.asked] == [BEGUN, ""]


@pytest.mark.parametrize("status", [0, 401, 404, 429])
async def test_another_failure_is_one(status: int) -> None:
    server = Server(ModelFailed("out", status=status))
    with pytest.raises(ModelFailed, match="out"):
        await said(server, BEGUN)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("begun", "settings"),
    [
        ("Once upon a tim", Settings()),
        (BEGUN, Settings(output=OutputFormat(kind="json_object"))),
    ],
    ids=["too short to tell its echo", "what a grammar forces begins at its beginning"],
)
async def test_a_reply_that_cannot_be_continued_is_requested_again(
    begun: str, settings: Settings
) -> None:
    server = Server([*message("Another."), USAGE])
    assert texts(await said(server, begun, settings)) == ["Another."]
    assert server.asked[0].beginning == ""


@pytest.mark.parametrize("prefill", [False, True])
def test_a_beginning_for_a_messages_server_has_no_trailing_white_space(*, prefill: bool) -> None:
    asked = ModelRequest(items=(user("Hi"),), beginning=BEGUN)
    body = json.loads(MessagesCodec(prefill=prefill).request(asked, "claude").body)
    begun = {"role": "assistant", "content": BEGUN.rstrip()}
    assert (body["messages"][-1] == begun) == prefill
