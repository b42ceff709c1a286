"""How every encoder reads a run: its table names the method for each event.

An encoder declares two properties of the union of events. `SHOWN` maps a payload's type to the method that
handles it; `HIDDEN` is the set of types that its surface cannot show. The two are disjoint and together
cover the union (`tests/protocols/test_encoder.py`), so a new event cannot be forgotten on any surface.

The lookup is by exact type, which is correct because payloads have no subclasses. It costs the same for
every event, so text deltas, the majority of a run, need no path of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeAlias, TypeVar, get_args

from tailrace.events import types as t
from tailrace.events.items import Message, Part
from tailrace.protocols.attribution import Roster

Handler: TypeAlias = Callable[..., None]
"""A method `(self, event, payload)`. The annotation of its payload covers the types that `SHOWN` maps to
it; the test of the tables checks that, because no type checker can: one mapping has methods of many types."""

Table: TypeAlias = Mapping[type[t.Base], Handler]

PAYLOADS: frozenset[type[t.Base]] = frozenset(get_args(t.Payload))
"""All payload types."""


RUN_ENDS: tuple[type[t.Base], ...] = get_args(t.RunEnd)
"""The types of the four events that end a run."""


class Encoder:
    """Reads the events of one run, from `seq` 0 on, until `done`, and keeps its agents and nodes
    (`Roster`)."""

    SHOWN: ClassVar[Table]
    HIDDEN: ClassVar[frozenset[type[t.Base]]]

    _handlers: ClassVar[dict[type[t.Base], Handler]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "SHOWN" in vars(cls):
            cls._handlers = {**cls.SHOWN, **dict.fromkeys(cls.HIDDEN, Encoder._hide)}

    def __init__(self, run: str) -> None:
        self.run = run
        self.done = False
        self._roster = Roster()

    def read(self, events: Sequence[t.Event]) -> None:
        """Handle the next events; events after the last frame of the surface are ignored."""
        handlers = self._handlers
        for event in events:
            if self.done:
                break
            payload = event.payload
            handlers[type(payload)](self, event, payload)

    def _hide(self, event: t.Event, payload: t.Payload) -> None:
        """Add no frame."""

    def _on_node_started(self, event: t.Event, payload: t.NodeStarted) -> None:
        self._roster.add_node(event.node, payload)

    def _on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> None:
        self._roster.add_agent(event.agent, payload)

    NAMING: ClassVar[Table] = {
        t.NodeStarted: _on_node_started,
        t.AgentStarted: _on_agent_started,
    }
    """Entries of `SHOWN` shared by encoders that record these events without a frame."""


class FrameEncoder(Encoder):
    """`StreamEncoder`: its handlers append to `_frames`."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._frames: list[bytes] = []

    def encode(self, events: Sequence[t.Event]) -> list[bytes]:
        """The frames that these events make, in order."""
        self.read(events)
        frames, self._frames = self._frames, []
        return frames


class ItemView(Protocol):
    """The representation of an open item."""

    def take(self, payload: t.Payload) -> None:
        """Show an event of the item."""
        ...


ItemT = TypeVar("ItemT", bound=ItemView)


class ItemEncoder(FrameEncoder, Generic[ItemT]):
    """An encoder with one object for each open visible item."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._items: dict[int, ItemT] = {}

    def _on_item_delta(self, event: t.Event, payload: t.Delta) -> None:
        if payload.item in self._items:
            self._items[payload.item].take(payload)

    DELTA: ClassVar[Handler] = _on_item_delta
    PIECES: ClassVar[Table] = {
        t.TextDelta: DELTA,
        t.RefusalDelta: DELTA,
        t.AnnotationAdded: DELTA,
        t.ReasoningDelta: DELTA,
        t.ReasoningSummaryDelta: DELTA,
        t.ArgumentsDelta: DELTA,
    }
    """Entries of `SHOWN` that pass the parts of messages, thoughts and calls to their items."""


CallT = TypeVar("CallT", bound=ItemView)


class CallEncoder(ItemEncoder[ItemT], Generic[ItemT, CallT]):
    """An `ItemEncoder` that also keeps one object for each call until its tool has answered."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self._calls: dict[int, CallT] = {}

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        item = self._items.pop(payload.item, None)
        if item is not None:
            item.take(payload)
            if payload.status == "incomplete":
                self._calls.pop(payload.item, None)
        elif isinstance(payload.content, Message):
            for part in payload.content.content:
                self._show_part(event, part)

    def _show_part(self, event: t.Event, part: Part) -> None:
        """Show a part of a message that is sent in one frame: an image, audio."""
        raise NotImplementedError

    def _on_tool_completed(self, event: t.Event, payload: t.ToolCompleted) -> None:
        call = self._calls.pop(payload.item, None)
        if call is not None:
            call.take(payload)

    CALLS: ClassVar[Table] = {
        t.ItemCompleted: _on_item_completed,
        t.ToolCompleted: _on_tool_completed,
    }
    """Entries of `SHOWN` that end items and calls."""
