"""Fields of a chat server's reply that only this dialect has, as a Chat client receives them.

Details of reasoning, signatures and other fields of calls and messages are sent when their item has ended,
because a client has to send them back; pictures and sound are sent in the form that some servers use. For the
reply as a whole these are its fingerprint and service tier, other fields of the chunk (such as sources), and
fields of `usage` that tailrace does not count (such as cost). Counts that no server reported are left out.
"""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message, Reasoning, ToolCall
from tailrace.protocols.fields import Object, any_object, objects
from tailrace.protocols.openai_chat.messages import DIALECT


def of(completed_item: t.ItemCompleted, index: int | None) -> Object:
    """The delta for the end of an item; `index` is the index of a call among those that are shown."""
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
            ):  # the official SDK's helper asserts that `function` exists
                function = {"arguments": "", **any_object(more.get("function"))}
                call = {"tool_calls": [{"index": index, **more, "function": function}]}
            return {**call, **_of_message(own)}
        case _:
            return {}


def _of_message(own: Object) -> Object:
    """The other fields of a message; not all of them are sent back to the server (`messages.py`)."""
    return {**any_object(own.get("shown")), **any_object(own.get("message"))}


def beside(details: Object) -> tuple[Object, Object]:
    """The additional fields of a piece of text: those of its delta, and those of its choice."""
    own = any_object(details.get(DIALECT))
    return any_object(own.get("delta")), any_object(own.get("choice"))


def with_indexes(delta: Object, places: dict[str, int]) -> Object:
    """Adds an `index` to the entries of a delta's lists; `places` holds the next index of each field. The
    official SDK's helper for streams fails on the second list of a field if entries have no index."""
    for field in ("annotations", "images", "reasoning_details"):
        entries = objects(delta.get(field))
        first = places.get(field, 0)
        places[field] = first + len(entries)
        if entries:
            entries_with_index = [{"index": n, **entry} for n, entry in enumerate(entries, first)]
            delta = {**delta, field: entries_with_index}
    return delta


class ServerFields:
    """What the servers of a run reported about their replies."""

    def __init__(self) -> None:
        self.about: Object = {}
        self.choice: Object = {}
        self._has_counts: list[bool] = []
        self._usages: list[Object] = []

    def add(self, usage: t.Usage) -> None:
        """Add the usage of a completed reply."""
        own = any_object(usage.details.get(DIALECT))
        self.about |= {k: v for k, v in own.items() if k not in ("usage", "uncounted", "choice")}
        self.choice |= any_object(own.get("choice"))
        self._has_counts.append(not own.get("uncounted"))
        self._usages.append(any_object(own.get("usage")))

    @property
    def has_counts(self) -> bool:
        """Whether any server reported counts, or no server was called."""
        return any(self._has_counts) or not self._has_counts

    def usage(self, ours: Object) -> Object:
        """The counts of the run, with the additional fields that the server reported if there was only one
        reply."""
        (theirs,) = self._usages if len(self._usages) == 1 else ({},)
        whole = {**theirs, **ours}
        for name in ("prompt_tokens_details", "completion_tokens_details"):
            whole[name] = {**any_object(theirs.get(name)), **any_object(ours.get(name))}
        return whole
