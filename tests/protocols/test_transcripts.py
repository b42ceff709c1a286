"""Golden transcripts: a log, and the exact bytes of each surface for it.

`UPDATE_TRANSCRIPTS=1` writes them again; read the difference before you commit it, because clients see it.
Logs written by a released version stay permanently and must still give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.events import stored
from tailrace.events.types import Event
from tailrace.protocols.ag_ui import stream as ag_ui
from tailrace.protocols.ai_sdk_ui import stream as ui
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.node_stream import stream as native
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tailrace.protocols.session_lines import stream as session
from tests.support import agui, blocks, lines, order, strict, ui_chunks
from tests.support.logs import RUN
from tests.support.scenarios import SCENARIOS
from tests.support.team_scenarios import TEAM_SCENARIOS

FOLDER = Path(__file__).parents[1] / "transcripts"
UPDATE = os.environ.get("UPDATE_TRANSCRIPTS") == "1"

Frames = Callable[[list[Event]], list[bytes]]


def _include(events: list[Event]) -> tuple[str, ...]:
    started = events[0].payload
    return getattr(getattr(started, "request", None), "include", ())


KEY = "x_alien"
SURFACES: dict[str, Frames] = {
    "responses": lambda log: responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(include=_include(log))
    ).encode(log),
    "chat": lambda log: chat.ChatEncoder(RUN, chat.ChatStreamOptions(include_usage=True)).encode(
        log
    ),
    "messages": lambda log: messages.MessagesEncoder(RUN, messages.MessagesStreamOptions()).encode(
        log
    ),
    "native": lambda log: native.NodeStreamEncoder(RUN).encode(log),
    "session": lambda log: session.SessionEncoder(RUN, session.SessionStreamOptions()).encode(log),
    "ui": lambda log: ui.UiMessageEncoder(RUN, ui.UiStreamOptions(turn=0)).encode(log),
    "agui": lambda log: ag_ui.AgUiEncoder(RUN, ag_ui.AgUiStreamOptions()).encode(log),
}
ATTRIBUTED: dict[str, Frames] = {
    "agent-responses": lambda log: responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(key=KEY)
    ).encode(log),
    "agent-responses-2": lambda log: responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(turn=1, key=KEY)
    ).encode(log),
    "agent-messages": lambda log: messages.MessagesEncoder(
        RUN, messages.MessagesStreamOptions(key=KEY)
    ).encode(log),
    "agent-chat": lambda log: chat.ChatEncoder(
        RUN, chat.ChatStreamOptions(include_usage=True, key=KEY)
    ).encode(log),
    "calls-responses": lambda log: responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(key=KEY, functions=True)
    ).encode(log),
    "calls-chat": lambda log: chat.ChatEncoder(
        RUN, chat.ChatStreamOptions(key=KEY, functions=True)
    ).encode(log),
    "responses-2": lambda log: responses.ResponsesEncoder(
        RUN, responses.ResponsesStreamOptions(turn=1)
    ).encode(log),
    "chat-1": lambda log: chat.ChatEncoder(RUN, chat.ChatStreamOptions(turn=0)).encode(log),
    "chat-2": lambda log: chat.ChatEncoder(RUN, chat.ChatStreamOptions(turn=1)).encode(log),
    "messages-1": lambda log: messages.MessagesEncoder(
        RUN, messages.MessagesStreamOptions(turn=0)
    ).encode(log),
    "messages-2": lambda log: messages.MessagesEncoder(
        RUN, messages.MessagesStreamOptions(turn=1)
    ).encode(log),
    "ui-2": lambda log: ui.UiMessageEncoder(RUN, ui.UiStreamOptions(turn=1)).encode(log),
}
"""The output of a mount that attributes, and of single turns of a run that pauses."""

PAUSED = ("approval_granted", "approval_denied", "question_below")
ALL = {**SCENARIOS, **TEAM_SCENARIOS}
CASES = [
    *((name, surface) for name in ALL for surface in SURFACES),
    *(
        (name, surface)
        for name in (*TEAM_SCENARIOS, "workflow")
        for surface in ATTRIBUTED
        if name in PAUSED or not surface.endswith(("-1", "-2"))
    ),
]
EVERY = {**SURFACES, **ATTRIBUTED}
EXTENSION = {"session": "ndjson"}
"""The extension of a golden file; the others are server-sent events."""


def _check_messages(frames: list[bytes]) -> None:
    strict.messages(frames)
    blocks.check(frames)


def _check_agui(frames: list[bytes]) -> None:
    strict.agui(frames)
    agui.read(frames)


def _check_ui(frames: list[bytes]) -> None:
    ui_chunks.strict(frames)
    ui_chunks.read(frames)


CHECKS: dict[str, Callable[[list[bytes]], object]] = {
    "responses": strict.responses,
    "chat": strict.chat,
    "messages": _check_messages,
    "session": lines.check,
    "ui": _check_ui,
    "agui": _check_agui,
}
"""The check for every frame of a surface; it includes the turn after a pause and other mounts."""


def _golden(path: Path, made: bytes) -> None:
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
    assert path.read_bytes() == made, f"{path.name} of {path.parent.name} has changed"


@pytest.mark.parametrize("name", ALL)
def test_the_log_is_what_it_was(name: str) -> None:
    _golden(FOLDER / name / "log.jsonl", stored.frame(ALL[name]()).body + b"\n")


@pytest.mark.req("R1")
@pytest.mark.req("R14")
@pytest.mark.req("R16")
@pytest.mark.req("R39")
@pytest.mark.req("R40")
@pytest.mark.parametrize(("name", "surface"), CASES)
def test_the_bytes_are_what_they_were(name: str, surface: str) -> None:
    log = stored.decode((FOLDER / name / "log.jsonl").read_bytes().rstrip(b"\n"))
    _golden(
        FOLDER / name / f"{surface}.{EXTENSION.get(surface, 'sse')}", b"".join(EVERY[surface](log))
    )


@pytest.mark.req("R33")
@pytest.mark.req("R34")
@pytest.mark.req("R35")
@pytest.mark.req("R37")
@pytest.mark.req("R38")
@pytest.mark.parametrize(("name", "surface"), [c for c in CASES if c[1] != "native"])
def test_every_frame_is_valid_for_every_sdk(name: str, surface: str) -> None:
    log = stored.decode((FOLDER / name / "log.jsonl").read_bytes().rstrip(b"\n"))
    frames = EVERY[surface](log)
    kind = surface.removeprefix("agent-").removeprefix("calls-").rstrip("-12")
    CHECKS[kind](frames)
    if kind == "responses":
        order.check(frames, log)


def test_no_transcript_is_left_over() -> None:
    known = {
        *(f"{name}/log.jsonl" for name in ALL),
        *(f"{name}/{surface}.{EXTENSION.get(surface, 'sse')}" for name, surface in CASES),
    }
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == known
