"""The rule in the other direction: a Messages client reads the reply of a Messages server unchanged, as the
SDK reads it. The exceptions are our own ids and the fields that `normal` removes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from tailrace.cli.convert import Converter
from tailrace.events import types as t
from tailrace.events.history import conversation
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState, fold
from tailrace.protocols.anthropic_messages import messages, reply, stream
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.runtimes import node_lifecycle
from tests.support import blocks, strict
from tests.support.anthropic_streams import Object, read, sse, streams
from tests.support.logs import RUN, request

FOLDER = Path(__file__).parents[4] / "shared" / "recordings" / "messages"
FILES = sorted(FOLDER.glob("*.sse"))
# Blocks are drawn from those that clients may send, which are slightly more than those of servers.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


def log(data: bytes) -> list[t.Event]:
    """The log of a gateway's run: calls are held until the reply has ended."""
    state, events = RunState(), list[t.Event]()

    def add(drafts: Sequence[t.Draft]) -> None:
        events.extend(state.advance(draft, 0) for draft in drafts)

    add([t.Draft(t.RunStarted(request()))])
    add(node_lifecycle.opening(state, "helper"))
    decoder = MessagesCodec().decoder("m")
    said = node_lifecycle.ModelReply(state)
    for start in range(0, len(data), 97):
        add(said.convert(decoder.feed(data[start : start + 97])))
    add(said.convert(decoder.close()))
    assert decoder.failure is None, decoder.failure
    add(node_lifecycle.ending(state))
    return events


def shown(events: Sequence[t.Event]) -> list[Object]:
    """The events that a client is shown."""
    encoder = stream.MessagesEncoder(RUN, stream.MessagesStreamOptions())
    return blocks.check(frame for event in events for frame in encoder.encode([event]))


def normal(message: Object) -> Object:
    """The message as the SDK reads it, without our own fields: the ids, and the model by the client's name
    for it."""
    told = {name: value for name, value in message.items() if value is not None}
    told |= {"id": "", "model": "", "content": []}
    for block in message["content"]:
        said = {name: value for name, value in block.items() if value is not None}
        if said.get("citations") == []:
            del said["citations"]
        if said != {"type": "text", "text": ""}:  # an empty text is left out
            told["content"].append(said)
    told["usage"] = {name: value for name, value in message["usage"].items() if value is not None}
    return told


@given(said=streams())
def test_a_client_of_the_dialect_reads_the_servers_reply(said: list[Object]) -> None:
    events = shown(log(sse(said)))
    assert normal(read(events)) == normal(read(said))


@given(said=streams())
def test_the_document_is_the_same_message(said: list[Object]) -> None:
    made, status = reply.message(RUN, log(sse(said)), stream.MessagesStreamOptions())
    document: Object = msgspec.json.decode(made)
    assert status == 200
    assert normal(document) == normal(read(said))


@given(said=streams())
def test_converting_the_recorded_stream_gives_the_same_events(said: list[Object]) -> None:
    converter = Converter("messages", "messages")
    data = b"".join((*converter.feed(sse(said)), *converter.close()))
    found = [msgspec.json.decode(each) for each in strict.data_of(data.split(b"\n\n")[:-1])]
    live = shown(log(sse(said)))
    assert found[1:] == live[1:]
    assert found[0]["message"]["usage"] == live[0]["message"]["usage"]


@given(said=streams())
def test_the_server_gets_its_own_fields_back(said: list[Object]) -> None:
    """The request has the run's own history: it is the next request of an agent, or of a client that names
    this reply. A call that has no arguments and ends a reply that a limit ended may have been cut off, and
    is left out."""
    state = fold(log(sse(said)))
    asked = ModelRequest(items=conversation(state, begin=()))
    content = normal(read(said))["content"]
    last = state.items[-1] if state.items else None
    if last is not None and last.started.kind == "tool_call" and last.status == "incomplete":
        assert state.finish in ("length", "content_filter")
        assert content.pop()["input"] == {}
    turns = messages.encode(asked, "m")["messages"]
    sent = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    assert [_plain(block) for block in sent] == [_plain(block) for block in content]


def _plain(block: Object) -> Object:
    return {name: value for name, value in block.items() if value not in (None, [])}


@pytest.mark.skipif(not FILES, reason="the recordings are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_stream_is_reproduced(path: Path) -> None:
    said = [msgspec.json.decode(each) for each in _data(path.read_bytes())]
    events = shown(log(path.read_bytes()))
    assert normal(read(events)) == normal(read(said))
    assert [b["type"] for b in read(events)["content"]] == [
        b["type"] for b in read(said)["content"]
    ]


def _data(stream: bytes) -> Iterable[bytes]:
    return (line[6:] for line in stream.splitlines() if line.startswith(b"data: "))
