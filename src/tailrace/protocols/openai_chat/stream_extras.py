"""What a chat server said beyond the fields that all dialects have, as a Chat client is shown it.

Details of reasoning, signatures and other fields of calls and messages come when their item has ended, for a
client has to send them back; pictures and sound as some servers write them. Of the reply as a whole: its
fingerprint and tier, whatever else stands beside its choices (sources), and what its counts say more than
ours (cost). What no server counted is not shown as 0.
"""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message, Reasoning, ToolCall
from tailrace.protocols.fields import Object, any_object, objects
from tailrace.protocols.openai_chat.messages import DIALECT


def of(completed_item: t.ItemCompleted, index: int | None) -> Object:
    """The delta that an item's end adds; `index` is a call's place among those that are shown."""
    content = completed_item.content
    if content is None:
        return {}
    own = any_object(content.details.get(DIALECT))
    match content:
        case Reasoning():
            details = own.get("reasoning_details")
            return {"reasoning_details": details} if details else {}
        case Message():
            pictures = [
                part for part in content.content if isinstance(part, ImagePart) and part.url
            ]
            images = [{"type": "image_url", "image_url": {"url": part.url}} for part in pictures]
            return {**({"images": images} if images else {}), **_of_message(own)}
        case ToolCall():
            more, call = any_object(own.get("call")), {}
            if (
                more and index is not None
            ):  # the official SDK's helper asserts that there is a function
                function = {"arguments": "", **any_object(more.get("function"))}
                call = {"tool_calls": [{"index": index, **more, "function": function}]}
            return {**call, **_of_message(own)}
        case _:
            return {}


def _of_message(own: Object) -> Object:
    """What was said of a message as a whole; not all of it goes back to the server (`messages.py`)."""
    return {**any_object(own.get("shown")), **any_object(own.get("message"))}


def beside(details: Object) -> tuple[Object, Object]:
    """What stands beside a piece of text: in its delta, and in its choice."""
    own = any_object(details.get(DIALECT))
    return any_object(own.get("delta")), any_object(own.get("choice"))


def with_indexes(delta: Object, places: dict[str, int]) -> Object:
    """A delta whose lists' entries have an `index`, counted on in `places`: the official SDK's helper for
    streams fails on the second list of a field without one."""
    for field in ("annotations", "images", "reasoning_details"):
        entries = objects(delta.get(field))
        first = places.get(field, 0)
        places[field] = first + len(entries)
        if entries:
            entries_with_index = [{"index": n, **entry} for n, entry in enumerate(entries, first)]
            delta = {**delta, field: entries_with_index}
    return delta


class ServerFields:
    """What the servers of a run said of their replies."""

    def __init__(self) -> None:
        self.about: Object = {}
        self.choice: Object = {}
        self._has_counts: list[bool] = []
        self._usages: list[Object] = []

    def add(self, usage: t.Usage) -> None:
        """A reply has ended."""
        own = any_object(usage.details.get(DIALECT))
        self.about |= {k: v for k, v in own.items() if k not in ("usage", "uncounted", "choice")}
        self.choice |= any_object(own.get("choice"))
        self._has_counts.append(not own.get("uncounted"))
        self._usages.append(any_object(own.get("usage")))

    @property
    def has_counts(self) -> bool:
        """Whether any server counted, or none was asked."""
        return any(self._has_counts) or not self._has_counts

    def usage(self, ours: Object) -> Object:
        """Our counts, with what the server of the only reply says more."""
        (theirs,) = self._usages if len(self._usages) == 1 else ({},)
        whole = {**theirs, **ours}
        for name in ("prompt_tokens_details", "completion_tokens_details"):
            whole[name] = {**any_object(theirs.get(name)), **any_object(ours.get(name))}
        return whole
