"""Wire types of sessions: the messages, their contents, and the pieces in which a reply streams.

Names and fields are those of agentrail's guide and, where its code has more, of the code (core 0.6). The
events with these messages: `wire_events.py`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from tailrace.events.items import Json


class ContentBlock(Struct, frozen=True, rename="camel", tag_field="type", gc=False):
    """Base of the contents of messages and results."""


class TextContent(ContentBlock, frozen=True, tag="text"):
    """Text."""

    text: str


class ThinkingContent(ContentBlock, frozen=True, tag="thinking"):
    """The model's reasoning."""

    thinking: str


class ImageContent(ContentBlock, frozen=True, tag="image"):
    """An image, as base64 data or by URL."""

    mime_type: str = ""
    data: str = ""
    url: str = ""


class ToolCallContent(ContentBlock, frozen=True, tag="toolCall"):
    """A call; `arguments` is `{"arguments": "…"}` if the model did not write a JSON object."""

    id: str
    name: str
    arguments: dict[str, Json]


AnyContent: TypeAlias = TextContent | ThinkingContent | ImageContent | ToolCallContent


class Cost(Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """Costs in the configuration's currency; only the total is known."""

    input: float = 0.0
    output: float = 0.0
    cache_read: float = 0.0
    cache_write: float = 0.0
    total: float = 0.0


class SessionUsage(Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """Tokens; `input_tokens` excludes those read from or written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    cost: Cost = field(default_factory=Cost)


class UserMessage(Struct, frozen=True, rename="camel", tag_field="role", tag="user", gc=False):
    """A message of the user; `timestamp` in milliseconds since the epoch."""

    content: tuple[AnyContent, ...]
    timestamp: int


Stop: TypeAlias = Literal["stop", "length", "toolUse", "error", "aborted"]


class AssistantMessage(
    Struct,
    frozen=True,
    rename="camel",
    tag_field="role",
    tag="assistant",
    kw_only=True,
    omit_defaults=True,
    gc=False,
):
    """One reply of the model. `provider` is always `tailrace`."""

    content: tuple[AnyContent, ...] = field()
    provider: str = field()
    model_id: str = field()
    usage: SessionUsage = field()
    stop_reason: Stop = field()
    timestamp: int = field()
    error_message: str = ""


class ToolResultMessage(
    Struct, frozen=True, rename="camel", tag_field="role", tag="toolResult", kw_only=True, gc=False
):
    """The result of a tool."""

    tool_call_id: str
    tool_name: str
    content: tuple[AnyContent, ...]
    is_error: bool
    timestamp: int


class PartialMessage(Struct, frozen=True, tag_field="role", tag="assistant", gc=False):
    """The placeholder for a message that streams; its content comes with `message.end`."""

    content: tuple[AnyContent, ...] = ()


Message: TypeAlias = UserMessage | AssistantMessage | ToolResultMessage


class StreamPiece(
    Struct,
    frozen=True,
    rename="camel",
    tag_field="type",
    kw_only=True,
    omit_defaults=True,
    gc=False,
):
    """Base of the pieces of a reply."""

    content_index: int = field()


class TextStart(StreamPiece, frozen=True, kw_only=True, tag="text_start"):
    """Text begins."""


class TextDeltaPiece(StreamPiece, frozen=True, kw_only=True, tag="text_delta"):
    """A piece of text."""

    delta: str = field()


class TextEnd(StreamPiece, frozen=True, kw_only=True, tag="text_end"):
    """The text is complete."""

    content: str = field()


class ThinkingStart(StreamPiece, frozen=True, kw_only=True, tag="thinking_start"):
    """Reasoning begins."""


class ThinkingDelta(StreamPiece, frozen=True, kw_only=True, tag="thinking_delta"):
    """A piece of reasoning."""

    delta: str = field()


class ThinkingEnd(StreamPiece, frozen=True, kw_only=True, tag="thinking_end"):
    """The reasoning is complete."""

    content: str = field()


class CallStart(StreamPiece, frozen=True, kw_only=True, tag="toolcall_start"):
    """A call begins."""


class CallDelta(StreamPiece, frozen=True, kw_only=True, tag="toolcall_delta"):
    """A piece of a call's arguments."""

    delta: str = field()


class CallEnd(StreamPiece, frozen=True, kw_only=True, tag="toolcall_end"):
    """The call is complete."""

    tool_call: ToolCallContent = field()


LlmStreamEvent: TypeAlias = (
    TextStart
    | TextDeltaPiece
    | TextEnd
    | ThinkingStart
    | ThinkingDelta
    | ThinkingEnd
    | CallStart
    | CallDelta
    | CallEnd
)


class Result(Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """A tool's result, or a progress message."""

    content: tuple[AnyContent, ...]
    details: Json = None
