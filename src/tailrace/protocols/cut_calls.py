"""A call that a limit cut off in the middle is incomplete: it must not run, and history omits it.

Servers end such a call like any other and report only at the end of the reply that they stopped because of
its length (Chat's `length`, Messages' `max_tokens`; some Responses servers mark the item). So a call whose
arguments are not a complete JSON object, and a custom call at the end of the reply, are held open until the
reason for the end is known. Arguments that the model wrote incorrectly, in a reply that ended normally, are
passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tailrace.events import types as t

CUT: frozenset[t.Finish] = frozenset({"length", "content_filter"})
NOTHING = "{}"
"""The `arguments` that decoders emit for a call without arguments."""


class _HeldCall(Struct):
    """The arguments of one call, and its end while that is held back."""

    custom: bool
    pieces: list[str] = []
    end: t.ItemCompleted | None = None


class CutCalls:
    """The calls of one reply."""

    def __init__(self) -> None:
        self._calls: dict[int, _HeldCall] = {}
        self._last = -1

    def mend(self, payloads: list[t.Payload]) -> list[t.Payload]:
        """The next payloads of the reply; calls that were cut off are marked as incomplete."""
        if not self._calls and not any(_begins(payload) for payload in payloads):
            return payloads
        return [result for payload in payloads for result in self._one(payload)]

    def _one(self, payload: t.Payload) -> Sequence[t.Payload]:
        match payload:
            case t.ItemStarted():
                if payload.kind == "tool_call":
                    self._calls[payload.item] = _HeldCall(payload.custom)
                self._last = payload.item
                return [*self._release_before(payload.item), payload]
            case t.ArgumentsDelta() if payload.item in self._calls:
                self._calls[payload.item].pieces.append(payload.text)
                return [payload]
            case t.ItemCompleted(status="completed") if payload.item in self._calls:
                return self._on_item_completed(payload)
            case t.Usage():
                return [*self._all(payload.finish), payload]
            case _:
                return [payload]

    def _on_item_completed(self, payload: t.ItemCompleted) -> Sequence[t.Payload]:
        call = self._calls[payload.item]
        whole = payload.item != self._last if _may_end(call) else is_whole(_text(call))
        if whole:
            del self._calls[payload.item]
            return [payload]
        call.end = payload
        return []

    def _release_before(self, item: int) -> list[t.Payload]:
        """The held-back ends of calls before `item`: only the end of a reply could have cut those off."""
        places = [n for n, call in self._calls.items() if n < item and call.end and _may_end(call)]
        return [end for n in places if (end := self._calls.pop(n).end) is not None]

    def _all(self, finish: t.Finish) -> list[t.Payload]:
        """All ends that are held back."""
        calls, self._calls = self._calls, {}
        ends = [call.end for call in calls.values() if call.end is not None]
        if finish not in CUT:
            return list(ends)
        return [msgspec.structs.replace(end, status="incomplete") for end in ends]


def is_whole(arguments: str) -> bool:
    """Whether arguments are a JSON object."""
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _begins(payload: t.Payload) -> bool:
    return isinstance(payload, t.ItemStarted) and payload.kind == "tool_call"


def _text(call: _HeldCall) -> str:
    return "".join(call.pieces).strip()


def _may_end(call: _HeldCall) -> bool:
    """Whether a call is complete regardless of what follows."""
    return call.custom or _text(call) == NOTHING
