"""Real recorded streams through decoder, log and surfaces: the same content as the official SDK reads.

The recordings are beside the checkout and are not ours to commit; without them these tests are skipped by
name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from tailrace.events import types as t
from tailrace.events.items import Message, Reasoning, TextPart, ToolCall
from tailrace.events.state import RunState
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.framing.sse import SseDecoder
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_responses import reply as responses_reply
from tailrace.protocols.openai_responses import stream as responses
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.runtimes.node_lifecycle import ending
from tests.support import strict
from tests.support.logs import NODE, RUN, TS, request

FOLDER = Path(__file__).parents[3] / "shared" / "recordings"
FILES = sorted(FOLDER.rglob("*.sse"))
CODECS: dict[str, UpstreamCodec] = {
    "chat": ChatCodec(),
    "responses": ResponsesCodec(),
    "messages": MessagesCodec(),
}

pytestmark = pytest.mark.skipif(not FILES, reason="the recordings are not beside this checkout")


class Content(msgspec.Struct):
    """The content of a reply after it was read."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, str]] = []
    finish: str | None = None
    usage: tuple[int, int] | None = None
    failed: bool = False


def play(path: Path) -> tuple[list[t.Event], RunState]:
    """The log of a recording, with the end that the runtime would write."""
    decoder = CODECS[path.parent.name].decoder("recorded")
    state, events = RunState(), list[t.Event]()

    def add(drafts: list[t.Draft]) -> None:
        for draft in drafts:
            events.append(state.advance(draft, TS + len(events)))

    add([t.Draft(t.RunStarted(request()))])
    add([t.Draft(t.NodeStarted("deep_agent", "helper"), NODE)])
    add([t.Draft(t.AgentStarted("helper"), NODE, t.MAIN)])
    data = path.read_bytes()
    payloads = [*decoder.feed(data), *decoder.close()]
    add([t.Draft(payload, NODE, t.MAIN) for payload in payloads])
    if decoder.failure is not None:
        end = t.RunFailed(decoder.failure.code, decoder.failure.message)
        add([*state.settle(end), t.Draft(end)])
    else:
        add(ending(state))
    return events, state


def ours(state: RunState) -> Content:
    """The content of our log."""
    found = Content(failed=isinstance(state.end, t.RunFailed))
    for item in state.items:
        match item.content:
            case Message():
                parts = item.content.content
                found.text += "".join(p.text for p in parts if isinstance(p, TextPart))
            case Reasoning():
                found.reasoning += "".join((*item.content.summary, *item.content.text))
            case ToolCall():
                call = item.content
                found.calls.append((call.call_id, call.name, call.arguments))
            case _:
                pass
    if state.usage:
        total = state.total()
        found.usage = (total.input, total.output)
        found.finish = state.finish
    return found


def frames_of(path: Path) -> Iterator[Any]:
    for event in SseDecoder().feed(path.read_bytes() + b"\n\n"):
        if event.data != b"[DONE]":
            yield msgspec.json.decode(event.data)


def chat_by_sdk(path: Path) -> Content:
    found, calls = Content(), dict[int, list[str]]()
    for data in frames_of(path):
        if data.get("error"):
            found.failed = True
            break
        chunk: Any = construct_type(type_=ChatCompletionChunk, value=data)
        for choice in chunk.choices or ():
            delta = choice.delta
            extra = delta.model_extra or {}
            content = delta.content
            if isinstance(content, str):
                found.text += content
            for part in content if isinstance(content, list) else ():
                if part["type"] == "thinking":
                    found.reasoning += "".join(piece["text"] for piece in part["thinking"])
                else:
                    found.text += part["text"]
            found.reasoning += extra.get("reasoning_content") or extra.get("reasoning") or ""
            for call in delta.tool_calls or ():
                made = calls.setdefault(call.index, ["", "", ""])
                made[0] = made[0] or call.id or ""
                made[1] = made[1] or call.function.name or ""
                made[2] += call.function.arguments or ""
            found.finish = choice.finish_reason or found.finish
        if chunk.usage:
            found.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    found.calls = [(call[0], call[1], call[2]) for call in calls.values()]
    return found


def responses_by_sdk(path: Path) -> Content:
    found = Content(finish="stop")
    for data in frames_of(path):
        event: Any = construct_type(type_=ResponseStreamEvent, value=data)
        match event.type:
            case "response.output_text.delta":
                found.text += event.delta
            case "response.reasoning_text.delta" | "response.reasoning_summary_text.delta":
                found.reasoning += event.delta
            case "response.output_item.done" if event.item.type == "function_call":
                found.calls.append((event.item.call_id, event.item.name, event.item.arguments))
                found.finish = "tool_calls"
            case "response.completed" | "response.incomplete":
                usage = event.response.usage
                found.usage = (usage.input_tokens, usage.output_tokens)
                if event.response.incomplete_details:
                    found.finish = "length"
            case "response.failed" | "error":
                found.failed = True
            case _:
                pass
    return found


def messages_by_hand(path: Path) -> Content:
    """Anthropic's SDK is not among the tools of our tests: this reads the JSON directly instead."""
    found, usage, call = Content(finish="stop"), dict[str, Any](), ["", "", ""]
    for data in frames_of(path):
        delta = data.get("delta", {})
        match data["type"]:
            case "message_start":
                usage |= data["message"]["usage"]
            case "content_block_start" if data["content_block"]["type"] == "tool_use":
                call = [data["content_block"]["id"], data["content_block"]["name"], ""]
            case "content_block_delta":
                found.text += delta.get("text", "")
                found.reasoning += delta.get("thinking", "")
                call[2] += delta.get("partial_json", "")
            case "content_block_stop":
                if call[0]:
                    found.calls.append((call[0], call[1], call[2]))
                call = ["", "", ""]
            case "message_delta":
                usage |= {k: v for k, v in data["usage"].items() if v is not None}
                reason = delta.get("stop_reason")
                found.finish = {"tool_use": "tool_calls", "max_tokens": "length"}.get(
                    reason, "stop"
                )
            case _:
                pass
    read = usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0)
    found.usage = (read + (usage.get("cache_creation_input_tokens") or 0), usage["output_tokens"])
    return found


READERS = {"chat": chat_by_sdk, "responses": responses_by_sdk, "messages": messages_by_hand}


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(FILES) == 62


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_log_holds_what_the_sdk_reads(path: Path) -> None:
    expected, (_, state) = READERS[path.parent.name](path), play(path)
    made = ours(state)
    assert made.text == expected.text
    assert made.reasoning == expected.reasoning
    assert made.calls == expected.calls
    assert made.failed == expected.failed
    if not expected.failed:
        assert made.finish == ("tool_calls" if expected.calls else expected.finish or "stop")
        if expected.usage is not None:
            assert made.usage == expected.usage


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_both_surfaces_show_it(path: Path) -> None:
    """Text, reasoning, calls, finish reason and usage, read back from our own frames."""
    events, state = play(path)
    made = ours(state)
    options = responses.ResponsesStreamOptions()
    frames = responses.ResponsesEncoder(RUN, options).encode(events)
    strict.responses(frames)
    response = msgspec.json.decode(responses_reply.response(RUN, events, options))
    messages = [item for item in response["output"] if item["type"] == "message"]
    assert "".join(p.get("text", "") for m in messages for p in m["content"]) == made.text
    calls = [
        (item["call_id"], item["name"], item["arguments"])
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    assert calls == made.calls
    chunks = chat.ChatEncoder(RUN, chat.ChatStreamOptions(include_usage=True)).encode(events)
    strict.chat(chunks)
    document, status = chat_reply.completion(RUN, events, chat.ChatStreamOptions())
    assert (status != 200) == made.failed
    if status == 200:
        choice = msgspec.json.decode(document)["choices"][0]
        assert (choice["message"]["content"] or "") == made.text
        assert choice["message"].get("reasoning_content", "") == made.reasoning
        shown = [
            (call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in choice["message"].get("tool_calls", ())
        ]
        assert shown == made.calls
        assert choice["finish_reason"] == made.finish
        assert response["usage"]["input_tokens"] == state.total().input


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_any_chunking_gives_the_same_events(path: Path) -> None:
    data = path.read_bytes()
    whole: list[t.Payload] | None = None
    for size in (len(data), 1000, 97, 7):
        decoder = CODECS[path.parent.name].decoder("recorded")
        made: list[t.Payload] = []
        for start in range(0, len(data), size):
            made += decoder.feed(data[start : start + size])
        made += decoder.close()
        whole = made if whole is None else whole
        assert made == whole
