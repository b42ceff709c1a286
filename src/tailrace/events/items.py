"""The items of a conversation: messages, reasoning, tool calls and their outputs.

One vocabulary for both directions: a request's input, a run's output and the history of the next turn
are lists of `Item`. Names follow OpenAI's Responses items where it has one, shortened.

`details` has fields that only one provider understands (reasoning signatures, encrypted content, provider
item ids), keyed by upstream dialect (`chat`, `responses`, `messages`). tailrace does not read them; they
are sent only to model servers of the same dialect.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Json: TypeAlias = Any  # a decoded JSON value; msgspec has no recursive alias
Role = Literal["system", "developer", "user", "assistant"]
Status = Literal["completed", "incomplete"]


class Content(Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """Base of the content parts of a message or a tool output."""


class TextPart(Content, frozen=True, tag="text"):
    """Plain text; `annotations` and `logprobs` are in OpenAI's Responses shapes."""

    text: str
    annotations: tuple[Json, ...] = ()
    logprobs: tuple[Json, ...] = ()


class RefusalPart(Content, frozen=True, tag="refusal"):
    """The model's refusal, in its words."""

    refusal: str


class ImagePart(Content, frozen=True, tag="image"):
    """An image by `url` (http, https or data URL) or by a provider's `file_id`."""

    url: str = ""
    file_id: str = ""
    detail: str = ""


class FilePart(Content, frozen=True, tag="file"):
    """A document by `file_id`, by `url`, or inline as a data URL in `data`."""

    file_id: str = ""
    url: str = ""
    data: str = ""
    filename: str = ""


class AudioPart(Content, frozen=True, tag="audio"):
    """Base64 audio and its format (`wav`, `mp3`)."""

    data: str
    format: str


class ProviderPart(Content, frozen=True, tag="provider_part"):
    """A part of `dialect` alone, unchanged in `data`."""

    dialect: str
    data: dict[str, Json]


Part = TextPart | RefusalPart | ImagePart | FilePart | AudioPart | ProviderPart


class ItemBase(Struct, frozen=True, tag_field="type", omit_defaults=True, kw_only=True, gc=False):
    """Base of the conversation items."""

    details: dict[str, Json] = {}


class Message(ItemBase, frozen=True, kw_only=True, tag="message"):
    """A message. `phase` is OpenAI's `commentary` or `final_answer`, `""` if unknown."""

    role: Role
    content: tuple[Part, ...] = ()
    phase: str = ""
    name: str = ""


class Reasoning(ItemBase, frozen=True, kw_only=True, tag="reasoning"):
    """A model's thinking: `summary` parts are meant for readers, `text` is the raw chain of thought."""

    summary: tuple[str, ...] = ()
    text: tuple[str, ...] = ()


class ToolCall(ItemBase, frozen=True, kw_only=True, tag="tool_call"):
    """A call the model made. `arguments` is the model's own JSON text, or free text when `custom`."""

    call_id: str
    name: str
    arguments: str = ""
    custom: bool = False


class ToolOutput(ItemBase, frozen=True, kw_only=True, tag="tool_output"):
    """What a tool answered to `call_id`."""

    call_id: str
    output: tuple[Part, ...] = ()
    is_error: bool = False


class ProviderItem(ItemBase, frozen=True, kw_only=True, tag="provider_item"):
    """An item of `dialect` alone (web search, code interpreter, …), unchanged in `data`. `role` is that of
    its message, if the dialect's items are parts of messages."""

    dialect: str
    data: dict[str, Json]
    role: Role = "assistant"


Item = Message | Reasoning | ToolCall | ToolOutput | ProviderItem


def text_of(parts: tuple[Part, ...]) -> str:
    """The readable text of some content: text and refusals, joined."""
    return "".join(
        part.text if isinstance(part, TextPart) else part.refusal
        for part in parts
        if isinstance(part, (TextPart, RefusalPart))
    )


def parts_of(item: Item) -> tuple[Part, ...]:
    """The content parts of a message, or of the output of a call; other items have none."""
    if isinstance(item, Message):
        return item.content
    return item.output if isinstance(item, ToolOutput) else ()
