"""Logs written by hand: payloads in, numbered events out, as the writer would number them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tailrace.events import types as t
from tailrace.events.items import Item, Message, TextPart
from tailrace.events.request import RunRequest, Settings
from tailrace.events.state import RunState

RUN = "01kabcdefghjkmnpqrstvwxyz0"
TS = 1_763_690_000_123
NODE = "main"


def user(text: str) -> Message:
    """A user message."""
    return Message(role="user", content=(TextPart(text),))


def request(
    text: str = "Hi", *, surface: str = "responses", history: Sequence[Item] = (), **fields: object
) -> RunRequest:
    """A run request for the agent "helper"."""
    settings = fields.pop("settings", Settings())
    assert isinstance(settings, Settings)
    fields.setdefault("input", (user(text),))
    fields.setdefault("model", "helper")
    return RunRequest(
        agent="helper",
        surface=surface,
        history=tuple(history),
        settings=settings,
        **fields,  # type: ignore[arg-type]
    )


def log(
    payloads: Iterable[t.Payload | t.Draft],
    asked: RunRequest | None = None,
    *,
    end: t.RunEnd | None = None,
) -> list[t.Event]:
    """A log: the run, its node and agent start, `payloads` follow, and, with `end`, all of them end."""
    state = RunState()
    events: list[t.Event] = []

    def add(drafts: Iterable[t.Draft]) -> None:
        for draft in drafts:
            events.append(state.advance(draft, TS + len(events)))

    add([t.Draft(t.RunStarted(asked or request()))])
    add([t.Draft(t.NodeStarted("deep_agent", "helper"), NODE)])
    add([t.Draft(t.AgentStarted("helper"), NODE, t.MAIN)])
    for payload in payloads:
        if isinstance(payload, t.Draft):
            add([payload])
        elif isinstance(payload, t.RunEvent):
            add([t.Draft(payload)])
        else:
            add([t.Draft(payload, NODE, t.MAIN)])
    if end is not None:
        add(state.settle(end))
        add([t.Draft(end)])
    return events


def text(item: int, *pieces: str, status: str = "completed") -> list[t.Payload]:
    """A complete message."""
    return [
        t.ItemStarted(item, "message"),
        *(t.TextDelta(item, piece) for piece in pieces),
        t.ItemCompleted(item, status),  # type: ignore[arg-type]
    ]


def call(
    item: int, name: str, *pieces: str, call_id: str = "", runs_on: t.RunsOn = "client"
) -> list[t.Payload]:
    """A complete tool call."""
    return [
        t.ItemStarted(
            item, "tool_call", name=name, call_id=call_id or f"call_{item}", runs_on=runs_on
        ),
        *(t.ArgumentsDelta(item, piece) for piece in pieces),
        t.ItemCompleted(item),
    ]
