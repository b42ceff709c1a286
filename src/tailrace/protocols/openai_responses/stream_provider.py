"""Output on the Responses stream that is neither text nor a call: a provider's own items, and images.

The log holds such an item as it was when it began and when it ended, and the events that its server sent in
between (`provider.event`), which are passed on unchanged. Events that OpenAI sends and that this server or an
older log did not record are emitted at the beginning and the end, in the order of recorded streams, each with
the complete value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Item, Json, Message, ProviderItem
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_responses.writer import ItemWriter, ResponsesEmitter


class Form(Struct, frozen=True):
    """How an item type is shown.

    `prefix` is that of its id; `opening` and `closing` are its lifecycle events, `failure` the event that
    replaces the last closing one; `whole` the events that carry a value, as (event, field, field of the item
    with the value); `zero` the fields that the SDK's types require and a server may leave out at first.
    """

    prefix: str
    opening: tuple[str, ...] = ()
    whole: tuple[tuple[str, str, str], ...] = ()
    closing: tuple[str, ...] = ()
    failure: str = ""
    zero: Mapping[str, Json] = {}


FORMS: Mapping[str, Form] = {
    "web_search_call": Form(
        "ws",
        opening=("web_search_call.in_progress", "web_search_call.searching"),
        closing=("web_search_call.completed",),
        zero={"action": {"type": "search", "query": ""}},
    ),
    "file_search_call": Form(
        "fs",
        opening=("file_search_call.in_progress", "file_search_call.searching"),
        closing=("file_search_call.completed",),
        zero={"queries": []},
    ),
    "code_interpreter_call": Form(
        "ci",
        opening=("code_interpreter_call.in_progress",),
        whole=(
            ("code_interpreter_call_code.delta", "delta", "code"),
            ("code_interpreter_call_code.done", "code", "code"),
        ),
        closing=("code_interpreter_call.interpreting", "code_interpreter_call.completed"),
        zero={"code": None, "outputs": None, "container_id": ""},
    ),
    "image_generation_call": Form(
        "ig",
        opening=("image_generation_call.in_progress", "image_generation_call.generating"),
        closing=("image_generation_call.completed",),
        zero={"result": None},
    ),
    "mcp_list_tools": Form(
        "mcpl",
        opening=("mcp_list_tools.in_progress",),
        closing=("mcp_list_tools.completed",),
        failure="mcp_list_tools.failed",
        zero={"tools": []},
    ),
    "mcp_call": Form(
        "mcp",
        opening=("mcp_call.in_progress",),
        whole=(
            ("mcp_call_arguments.delta", "delta", "arguments"),
            ("mcp_call_arguments.done", "arguments", "arguments"),
        ),
        closing=("mcp_call.completed",),
        failure="mcp_call.failed",
        zero={"arguments": ""},
    ),
    "mcp_approval_request": Form("mcpr"),
    "compaction": Form("cmp"),
    "tool_search_call": Form("tsc"),
    "tool_search_output": Form("tso"),
    "shell_call": Form("sh"),
    "shell_call_output": Form("sho"),
}
"""An item of any other type is shown unchanged, except for its id, which tailrace generates."""
_NO_ID = "shell_call_command."
"""Events whose names begin with this have no `item_id`."""


class ProviderWriter(ItemWriter):
    """An item that only the model server's dialect has (web search, …)."""

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        self._form = FORMS.get(str(start.data.get("type")), Form("item"))
        self.prefix = self._form.prefix
        super().__init__(stream, start, output_index)
        self._names: set[str] = set()

    def open(self) -> None:
        super().open()
        for event in self._form.opening:
            self._emit(event)

    def zero(self) -> Object:
        return self._shape(self.start.data)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ProviderEvent):
            self._names.add(payload.name)
            if payload.name.startswith(_NO_ID):
                self._emit_placed(payload.name, payload.data)
            else:
                self._emit(payload.name, **payload.data)
        elif isinstance(payload, t.ItemCompleted) and isinstance(payload.content, ProviderItem):
            item = self._shape(payload.content.data)
            if payload.status == "completed":
                self._closing(item)
            elif "status" in item:
                item["status"] = "failed"  # the only status for it in the types of all items
            self._close(item)

    def _closing(self, item: Object) -> None:
        """Emit the events that the server did not send itself."""
        for event, field, source in self._form.whole:
            if event not in self._names:
                self._emit(event, **{field: item.get(source) or ""})
        *before, last = self._form.closing or ("",)
        for event in before:
            if event not in self._names:
                self._emit(event)
        if item.get("error") and self._form.failure:
            last = self._form.failure
        if last and last not in self._names:
            self._emit(last)

    def _shape(self, data: Object) -> Object:
        shape: Object = {**self._form.zero, **data, "id": self.id}
        action: Object = shape.get("action") or {}
        if "sources" in action:  # the real API sends kinds that its own SDK's types reject
            sources = [source for source in action["sources"] or () if source["type"] == "url"]
            shape["action"] = {**action, "sources": sources}
        return shape


class ImageWriter(ItemWriter):
    """An image that the run generated: an `image_generation_call`."""

    prefix = "ig"
    _events: ClassVar = FORMS["image_generation_call"]

    def __init__(self, stream: ResponsesEmitter, start: t.ItemStarted, output_index: int) -> None:
        super().__init__(stream, start, output_index)
        self._partials = 0

    def open(self) -> None:
        super().open()
        for event in self._events.opening:
            self._emit(event)

    def zero(self) -> Object:
        return self._shape("in_progress", None)

    def take(self, payload: t.Payload) -> None:
        if isinstance(payload, t.ImagePartial):
            self._emit(
                "image_generation_call.partial_image",
                partial_image_b64=payload.data,
                partial_image_index=self._partials,
            )
            self._partials += 1
        elif isinstance(payload, t.ItemCompleted):
            if payload.status == "incomplete":
                self._close(self._shape("failed", None))
                return
            for event in self._events.closing:
                self._emit(event)
            self._close(self._shape("completed", _base64(payload.content)))

    def _shape(self, status: str, result: str | None) -> Object:
        return {
            "id": self.id,
            "type": "image_generation_call",
            "status": status,
            "result": result,
        }


def _base64(content: Item | None) -> str | None:
    """The base64 data of the item's image; None if the image is not inline."""
    parts = content.content if isinstance(content, Message) else ()
    for part in parts:
        if isinstance(part, ImagePart) and part.url.startswith("data:"):
            return part.url.partition(",")[2]
    return None
