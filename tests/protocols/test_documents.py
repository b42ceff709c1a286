"""A run read as one document, at its end: it contains the answer once, after any number of attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from tailrace.events.state import fold
from tailrace.events.types import Event
from tailrace.protocols.anthropic_messages import reply as messages_reply
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.node_stream import reply as job_reply
from tailrace.protocols.openai_chat import reply as chat_reply
from tailrace.protocols.openai_chat import stream as chat
from tests.support.logs import RUN
from tests.support.scenarios import two_attempts


def _chat(log: Sequence[Event]) -> Any:
    document, _ = chat_reply.completion(RUN, log, chat.ChatStreamOptions())
    return msgspec.json.decode(document)["choices"][0]["message"]["content"]


def _messages(log: Sequence[Event]) -> Any:
    document, _ = messages_reply.message(RUN, log, messages.MessagesStreamOptions())
    return [block["text"] for block in msgspec.json.decode(document)["content"]]


def _job(log: Sequence[Event]) -> Any:
    return msgspec.json.decode(job_reply.job(RUN, fold(log)))["output_text"]


DOCUMENTS: dict[str, tuple[Callable[[Sequence[Event]], Any], Any]] = {
    "chat": (_chat, "The answer is 4."),
    "messages": (_messages, ["The answer is 4."]),
    "job": (_job, "The answer is 4."),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_has_the_answer_once(name: str) -> None:
    shown, whole = DOCUMENTS[name]
    assert shown(two_attempts()) == whole
