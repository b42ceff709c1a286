"""Properties of the encoders, for any legal log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tailrace.events import stored
from tailrace.events.history import lasting, replaced_items
from tailrace.events.state import fold
from tailrace.events.types import (
    Event,
    RefusalDelta,
    RunAttempt,
    RunCancelled,
    RunFailed,
    RunResumed,
    RunWaiting,
    TextDelta,
)
from tailrace.protocols.ag_ui import stream as ag_ui
from tailrace.protocols.ai_sdk_ui import stream as ui
from tailrace.protocols.anthropic_messages import reply as messages_reply
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.contract import StreamEncoder
from tailrace.protocols.node_stream import stream as native
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import reply, stream
from tailrace.protocols.session_lines import stream as session
from tailrace.protocols.session_lines import wire_events
from tests.support import agui, blocks, lines, strict, ui_chunks
from tests.support.legal_logs import legal_logs
from tests.support.logs import RUN

OPTIONS = stream.ResponsesStreamOptions()
ENCODERS: dict[str, Callable[[], StreamEncoder]] = {
    "responses": lambda: stream.ResponsesEncoder(RUN, OPTIONS),
    "chat": lambda: chat.ChatEncoder(RUN, chat.ChatStreamOptions(include_usage=True)),
    "messages": lambda: messages.MessagesEncoder(RUN, messages.MessagesStreamOptions()),
    "native": lambda: native.NodeStreamEncoder(RUN),
    "session": lambda: session.SessionEncoder(RUN, session.SessionStreamOptions()),
    "ui": lambda: ui.UiMessageEncoder(RUN, ui.UiStreamOptions(turn=0)),
    "ui watched": lambda: ui.UiMessageEncoder(RUN, ui.UiStreamOptions()),
    "agui": lambda: ag_ui.AgUiEncoder(RUN, ag_ui.AgUiStreamOptions()),
    "chat turn": lambda: chat.ChatEncoder(RUN, chat.ChatStreamOptions(turn=1)),
    "messages turn": lambda: messages.MessagesEncoder(RUN, messages.MessagesStreamOptions(turn=1)),
    "agui turn": lambda: ag_ui.AgUiEncoder(RUN, ag_ui.AgUiStreamOptions(turn=1)),
}
SURFACES = pytest.mark.parametrize("surface", ENCODERS)


@SURFACES
@given(log=legal_logs(), cuts=st.lists(st.integers(0, 40)))
def test_how_events_are_batched_changes_nothing(
    surface: str, log: Sequence[Event], cuts: list[int]
) -> None:
    whole = ENCODERS[surface]().encode(log)
    encoder, frames, start = ENCODERS[surface](), list[bytes](), 0
    for cut in [*sorted(cuts), len(log)]:
        frames += encoder.encode(log[start:cut])
        start = max(start, cut)
    assert frames == whole


@pytest.mark.req("R8")
@pytest.mark.req("R14")
@SURFACES
@given(log=legal_logs(), cut=st.integers(0, 60))
def test_a_resumed_stream_is_exactly_the_suffix(
    surface: str, log: Sequence[Event], cut: int
) -> None:
    """The bytes that a client saw before a crash are a prefix of the bytes that any client ever sees."""
    whole = ENCODERS[surface]().encode(log)
    seen = ENCODERS[surface]().encode(log[:cut])
    assert whole[: len(seen)] == seen
    again = ENCODERS[surface]().encode(stored.decode(stored.frame(log).body))
    assert again == whole


@pytest.mark.req("R25")
@given(log=legal_logs())
def test_sequence_numbers_have_no_gap(log: Sequence[Event]) -> None:
    frames = ENCODERS["responses"]().encode(log)
    numbers = [msgspec.json.decode(data)["sequence_number"] for data in strict.data_of(frames)]
    assert numbers == list(range(len(frames) - 1))
    assert frames[-1] == b"data: [DONE]\n\n"


@pytest.mark.req("R42")
@pytest.mark.req("R36")
@pytest.mark.req("R188")
@given(log=legal_logs())
def test_every_frame_is_valid_for_every_sdk(log: Sequence[Event]) -> None:
    strict.responses(ENCODERS["responses"]().encode(log))
    strict.chat(ENCODERS["chat"]().encode(log))


@pytest.mark.req("R91")
@given(log=legal_logs())
def test_a_ui_stream_is_valid_for_every_version_and_in_order(log: Sequence[Event]) -> None:
    for surface in ("ui", "ui watched"):
        frames = ENCODERS[surface]().encode(log)
        ui_chunks.strict(frames)
        ui_chunks.read(frames)


@given(log=legal_logs())
def test_a_turn_of_a_ui_stream_is_the_rest_of_the_stream(log: Sequence[Event]) -> None:
    """The turn that answers continues the message and its positions where the pause left them."""
    turns = sum(isinstance(event.payload, RunResumed) for event in log)
    reader = ui_chunks.Reader()
    for turn in range(turns + 1):
        whole = ui.UiMessageEncoder(RUN, ui.UiStreamOptions(turn)).encode(log)
        first = ui.turn_begins(RUN, log, turn)
        if turn:
            before = ui.UiMessageEncoder(RUN, ui.UiStreamOptions(turn - 1)).encode(log)
            assert before[:-3] == whole[: len(before) - 3]
            assert first == next(
                number
                for number, frame in enumerate(whole)
                if number >= len(before) - 3 and b'"type":"start"' in frame
            )
        reader.ended = ""
        ui_chunks.read(whole[first:], reader, first)


@given(log=legal_logs(), cut=st.integers(0, 60))
def test_an_agui_stream_is_valid_and_in_order(log: Sequence[Event], cut: int) -> None:
    frames = ENCODERS["agui"]().encode(log)
    strict.agui(frames)
    agui.read(frames)
    agui.read(ENCODERS["agui"]().encode(log[:cut]), whole=False)


@given(log=legal_logs())
def test_a_list_of_agui_messages_holds_what_the_history_holds(log: Sequence[Event]) -> None:
    """The agents' texts in a client's list are those of the run's history, without replies that were
    replaced.

    An attempt without `keeps_replies` is from a log that 0.1 wrote. Its bytes stay those that clients have:
    they do not remove replies which that attempt abandoned.
    """
    assume(all(e.payload.keeps_replies for e in log if isinstance(e.payload, RunAttempt)))
    reader = agui.read(ENCODERS["agui"]().encode(log))
    kept = {
        int(id.rpartition("_")[2])
        for id, message in reader.messages.items()
        if message["role"] == "assistant" and message.get("content")
    }
    said = {
        event.payload.item
        for event in log
        if isinstance(event.payload, TextDelta | RefusalDelta) and event.payload.text
    }
    shown = {int(id.rpartition("_")[2]) for id in reader.messages if id.startswith("msg_")}
    assert kept == (said & shown) - replaced_items(fold(log))


def _ends(log: Sequence[Event], turn: int) -> int:
    """The position of the event that ends a turn."""
    pauses = [n for n, event in enumerate(log) if isinstance(event.payload, RunWaiting)]
    return [*pauses, len(log) - 1][turn]


@given(log=legal_logs())
def test_turns_of_an_agui_stream_are_whole_and_add_up(log: Sequence[Event]) -> None:
    """Each turn is a run for its client; the turns in sequence are the stream that a watcher sees."""
    whole = ENCODERS["agui"]().encode(log)
    made, turns = list[bytes](), sum(b'"type":"RUN_STARTED"' in frame for frame in whole)
    for turn in range(turns):
        encoder = ag_ui.AgUiEncoder(RUN, ag_ui.AgUiStreamOptions(turn))
        frames = encoder.encode(log[: 1 + _ends(log, turn)])
        assert encoder.done, "it ends with its pause"
        assert frames[0].startswith(b'data: {"type":"RUN_STARTED"')
        assert agui.events(frames[-1:])[0]["type"] in agui.TERMINAL
        made += frames
    assert made == whole


@given(log=legal_logs())
def test_every_messages_frame_is_valid_for_every_sdk(log: Sequence[Event]) -> None:
    strict.messages(ENCODERS["messages"]().encode(log))


def turns(log: Sequence[Event]) -> range:
    return range(1 + sum(isinstance(event.payload, RunResumed) for event in log))


@given(log=legal_logs(), key=st.sampled_from(["", "x_a"]), tools=st.booleans())
def test_every_turn_of_a_chat_is_a_valid_reply(log: Sequence[Event], key: str, tools: bool) -> None:
    """Also the one that a pause ends, whatever was open then; its document says the same."""
    for turn in turns(log):
        chat_options = chat.ChatStreamOptions(key=key, functions=tools, turn=turn)
        strict.chat(chat.ChatEncoder(RUN, chat_options).encode(log))
        _, status = chat_reply.completion(RUN, log, chat_options)
        options = messages.MessagesStreamOptions(tools=tools, key=key, turn=turn)
        frames = messages.MessagesEncoder(RUN, options).encode(log)
        if not key:
            strict.messages(frames)
        blocks.check(frames)
        _, messages_status = messages_reply.message(RUN, log, options)
        if turn < turns(log)[-1]:
            assert (status, messages_status) == (200, 200), "a pause is no failure"


@given(log=legal_logs())
def test_a_result_of_a_messages_turn_has_its_call_there(log: Sequence[Event]) -> None:
    for turn in turns(log):
        options = messages.MessagesStreamOptions(turn=turn)
        document, status = messages_reply.message(RUN, log, options)
        if status != 200:
            continue
        content = msgspec.json.decode(document)["content"]
        calls = [each["id"] for each in content if each["type"] == "mcp_tool_use"]
        for block in content:
            if block["type"] == "mcp_tool_result":
                assert block["tool_use_id"] in calls


@pytest.mark.parametrize(
    "options",
    [messages.MessagesStreamOptions(), messages.MessagesStreamOptions(tools=False, key="x_a")],
)
@given(log=legal_logs(), cut=st.integers(0, 60))
def test_blocks_come_one_at_a_time(
    options: messages.MessagesStreamOptions, log: Sequence[Event], cut: int
) -> None:
    blocks.check(messages.MessagesEncoder(RUN, options).encode(log))
    blocks.check(messages.MessagesEncoder(RUN, options).encode(log[:cut]), whole=False)


@pytest.mark.req("R139")
@pytest.mark.req("R142")
@pytest.mark.req("R159")
@pytest.mark.req("R160")
@given(log=legal_logs(), cut=st.integers(0, 60))
def test_lines_are_published_events_in_their_order(log: Sequence[Event], cut: int) -> None:
    told = lines.check(ENCODERS["session"]().encode(log))
    failed = isinstance(log[-1].payload, RunFailed)
    assert [isinstance(event, wire_events.Error) for event in told] == [
        *[False] * (len(told) - 1),
        failed,
    ]
    lines.check(ENCODERS["session"]().encode(log[:cut]), whole=False)


@given(log=legal_logs())
def test_the_message_is_what_its_frames_add_up_to(log: Sequence[Event]) -> None:
    document, status = messages_reply.message(RUN, log, messages.MessagesStreamOptions())
    assert (status == 200) != isinstance(log[-1].payload, RunFailed | RunCancelled)
    if status == 200:
        strict.check("beta_message", [document], strict.MESSAGES_VERSIONS)
    else:
        assert msgspec.json.decode(document)["error"]["message"]


@given(log=legal_logs())
def test_the_stored_response_is_what_the_stream_ended_with(log: Sequence[Event]) -> None:
    last = strict.data_of(ENCODERS["responses"]().encode(log))[-1]
    document = reply.response(RUN, log, OPTIONS)
    assert msgspec.json.decode(last)["response"] == msgspec.json.decode(document)


@pytest.mark.req("R17")
@pytest.mark.req("R19")
@given(log=legal_logs(pauses=False))
def test_chat_and_responses_show_the_same_content(log: Sequence[Event]) -> None:
    """The same calls in the same order; finish reasons map one to one; the complete text is present. If a
    crash cut off a reply and another reply repeats it, Chat's chunks have both (ADR 17)."""
    log = lasting(log)
    response = msgspec.json.decode(reply.response(RUN, log, OPTIONS))
    calls = [
        (item["call_id"], item["name"], item.get("arguments", item.get("input")))
        for item in response["output"]
        if item["type"] in ("function_call", "custom_tool_call")
    ]
    chunks = [msgspec.json.decode(data) for data in strict.data_of(ENCODERS["chat"]().encode(log))]
    made: dict[int, list[str]] = {}
    finish, text = None, ""
    for chunk in chunks:
        for choice in chunk.get("choices", ()):
            finish = choice["finish_reason"] or finish
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                if "id" in call:
                    made[call["index"]] = [call["id"], call["function"]["name"], ""]
                else:
                    made[call["index"]][2] += call["function"]["arguments"]
    assert [tuple(call) for call in made.values()] == calls
    said = [
        p.get("text", "")
        for i in response["output"]
        for p in i.get("content", ())
        if i["type"] == "message"
    ]
    # messages that are open at the same time are in the order of arrival on Chat
    assert sorted(text.replace("\n", "")) == sorted("".join(said).replace("\n", ""))
    expected = {
        "completed": "tool_calls" if calls else "stop",
        "failed": None,
        "cancelled": None,
        "incomplete": "length",
    }[response["status"]]
    if (response["incomplete_details"] or {}).get("reason") == "content_filter":
        expected = "content_filter"
    assert finish == expected


@given(log=legal_logs())
def test_the_chat_document_is_what_its_chunks_add_up_to(log: Sequence[Event]) -> None:
    document, status = chat_reply.completion(RUN, log, chat.ChatStreamOptions())
    assert (status == 200) != isinstance(log[-1].payload, RunFailed | RunCancelled)
    if status != 200:
        assert msgspec.json.decode(document)["error"]["message"]
        return
    strict.check("completion", [document], strict.VERSIONS[:2])
    message = msgspec.json.decode(document)["choices"][0]["message"]
    frames = ENCODERS["chat"]().encode(lasting(log))
    chunks = [msgspec.json.decode(data) for data in strict.data_of(frames)]
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    assert "".join(d.get("content") or "" for d in deltas) == (message["content"] or "")
    thoughts = "".join(d.get("reasoning_content") or "" for d in deltas)
    assert thoughts == message.get("reasoning_content", "")


def test_the_bytes_do_not_depend_on_the_process() -> None:
    """Two processes with different hash seeds encode the same logs to the same bytes."""
    program = (
        "import sys\n"
        "from tests.support.scenarios import SCENARIOS\n"
        "from tests.protocols.test_transcripts import SURFACES\n"
        "for name in SCENARIOS:\n"
        "    for surface in SURFACES.values():\n"
        "        sys.stdout.buffer.write(b''.join(surface(SCENARIOS[name]())))\n"
    )
    made = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert made[0] == made[1]
    assert made[0]
