"""Records a model reply for an adapter: payload by payload, with numbers of the adapter's own.

If a crash interrupted the agent's last reply, the payloads that repeat it are held back
(`runtimes/repeating.py`). So the run's number of an item is not known before the item is in the log;
`number` returns it then. Frameworks keep the ids of the calls that they received, so an interrupted call
continues only under its own id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.runtimes.node_lifecycle import NODE, ModelReply


class ReplyRecorder:
    """One reply of agent `id`. The agent's previous reply must have ended when the first payload is
    emitted."""

    def __init__(self, state: RunState, id: str, emit: Callable[[Sequence[t.Draft]], None]) -> None:
        self._state = state
        self._id = id
        self._emit = emit
        self._reply: ModelReply | None = None
        self._numbers = itertools.count()
        self._kinds: dict[int, t.ItemKind] = {}
        self._open: set[int] = set()

    def next_number(self) -> int:
        """The number of the next item."""
        return next(self._numbers)

    def emit(self, payload: t.Payload) -> None:
        """Emit the next payload of the reply."""
        match payload:
            case t.ItemStarted():
                self._kinds[payload.item] = payload.kind
                self._open.add(payload.item)
            case t.ItemCompleted():
                self._open.discard(payload.item)
            case _:
                pass
        self._emit(self._begin().convert([payload]))

    def kind(self, item: int) -> t.ItemKind:
        """The kind of an item that has started."""
        return self._kinds[item]

    def is_open(self, item: int) -> bool:
        """Whether an item has started and not ended."""
        return item in self._open

    def number(self, item: int) -> int:
        """The log's number of an item; the reply has ended."""
        return self._begin().number(item)

    def _begin(self) -> ModelReply:
        if self._reply is None:
            self._reply = ModelReply(self._state, NODE, self._id, same_ids=True)
        return self._reply
