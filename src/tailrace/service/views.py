"""The view of a run on a surface, and all views by name: `?as=` shows a run that was started on another
surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.request import RunRequest
from tailrace.protocols.ag_ui import stream as agui
from tailrace.protocols.ai_sdk_ui import stream as ui
from tailrace.protocols.anthropic_messages import stream as messages
from tailrace.protocols.node_stream import stream as native
from tailrace.protocols.openai_chat import stream as chat
from tailrace.protocols.openai_responses import stream as responses
from tailrace.protocols.session_lines import stream as lines
from tailrace.service.projection import Encoders

NATIVE = "native"

Frames: TypeAlias = Literal["sse", "lines", "ui", "agui"]
"""The kind of a view's frames; the transport chooses headers and heartbeats by it."""


class View(Struct, frozen=True):
    """`key` identifies the view among those of its run: readers with equal keys share frames. `session` is
    the client's name for the conversation, on surfaces that have one. The last `marks` frames have no number
    that a client can have."""

    key: object
    encoders: Encoders
    frames: Frames = "sse"
    session: str = ""
    marks: int = 0


def view(surface: str, run: str, request: RunRequest) -> View:
    """The view of a run on a surface, with the options of `/v1`. Raises `BadRequest` for an unknown
    surface."""
    make = VIEWS.get(surface)
    if make is None:
        raise BadRequest(
            f"Cannot show a job as {surface!r}; known: {', '.join(VIEWS)}.", param="as"
        )
    return make(run, request)


def _native(run: str, _: RunRequest) -> View:
    return View(NATIVE, lambda: native.NodeStreamEncoder(run))


def _responses(run: str, request: RunRequest) -> View:
    options = responses.ResponsesStreamOptions(include=request.include)
    return responses_view(run, options)


def responses_view(run: str, options: responses.ResponsesStreamOptions) -> View:
    """A run as a Responses stream. Its events are numbered, the `[DONE]` after them is not."""
    return View(options, lambda: responses.ResponsesEncoder(run, options), marks=1)


def _chat(run: str, _: RunRequest) -> View:
    options = chat.ChatStreamOptions(include_usage=True)
    return View(options, lambda: chat.ChatEncoder(run, options))


def _messages(run: str, _: RunRequest) -> View:
    options = messages.MessagesStreamOptions()
    return View(options, lambda: messages.MessagesEncoder(run, options))


def session_view(run: str, session: str, *, sse: bool = False) -> View:
    """A run in the lines of its session; with `sse` as server-sent events."""
    options = lines.SessionStreamOptions(sse=sse)
    return View(
        options, lambda: lines.SessionEncoder(run, options), "sse" if sse else "lines", session
    )


def ui_view(run: str, turn: int | None, *, past: bool = False) -> View:
    """A run as a UI message stream up to the pause that ends a turn, or to its end."""
    options = ui.UiStreamOptions(turn, past)
    return View(options, lambda: ui.UiMessageEncoder(run, options), "ui")


def agui_view(run: str, turn: int | None) -> View:
    """A run as AG-UI events: one of its turns, or all of them."""
    options = agui.AgUiStreamOptions(turn)
    return View(options, lambda: agui.AgUiEncoder(run, options), "agui")


VIEWS: Mapping[str, Callable[[str, RunRequest], View]] = {
    NATIVE: _native,
    "responses": _responses,
    "chat": _chat,
    "messages": _messages,
    "session": lambda run, request: session_view(run, request.session),
    "ui": lambda run, _: ui_view(run, None),
    "agui": lambda run, _: agui_view(run, None),
}
