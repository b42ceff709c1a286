"""What an agent does, as events of a session: the runtime and skill parts of the published union.

Names and fields are those of agentrail's guide and, where its code says more, of the code (core 0.6). `delta`
is text for the reader; `event` says what kind of piece it is. The message in `message.update` is a mere
stand-in: the whole of it comes with `message.end`, so that a long answer is not sent a thousand times.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from tailrace.events.items import Json


class Line(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True, gc=False):
    """Base of every event."""


class Traced(Line, frozen=True, kw_only=True):
    """Base of the runtime's events: the run, how deep below the main agent, which of its turns."""

    chain_id: str
    depth: int = 0
    turn_index: int = 0


class ContentBlock(Struct, frozen=True, rename="camel", tag_field="type", gc=False):
    """Base of the contents of messages and results."""


class TextContent(ContentBlock, frozen=True, tag="text"):
    """Text."""

    text: str


class ThinkingContent(ContentBlock, frozen=True, tag="thinking"):
    """What the model thought."""

    thinking: str


class ImageContent(ContentBlock, frozen=True, tag="image"):
    """An image, as base64 data or by URL."""

    mime_type: str = ""
    data: str = ""
    url: str = ""


class ToolCallContent(ContentBlock, frozen=True, tag="toolCall"):
    """A call; `arguments` is `{"arguments": "…"}` where the model wrote no JSON object."""

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
    """Tokens; `input_tokens` leaves out what was read from or written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    total_tokens: int = 0
    cost: Cost = field(default_factory=Cost)


class UserMessage(Struct, frozen=True, rename="camel", tag_field="role", tag="user", gc=False):
    """What the user said; `timestamp` in milliseconds since the epoch."""

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
    """What a tool answered."""

    tool_call_id: str
    tool_name: str
    content: tuple[AnyContent, ...]
    is_error: bool
    timestamp: int


class PartialMessage(Struct, frozen=True, tag_field="role", tag="assistant", gc=False):
    """Stands for the message that is being said; its content comes whole with `message.end`."""

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
    """Base of the kinds of pieces a reply is made of."""

    content_index: int = field()


class TextStart(StreamPiece, frozen=True, kw_only=True, tag="text_start"):
    """Text begins."""


class TextDeltaPiece(StreamPiece, frozen=True, kw_only=True, tag="text_delta"):
    """A piece of text."""

    delta: str = field()


class TextEnd(StreamPiece, frozen=True, kw_only=True, tag="text_end"):
    """The text is whole."""

    content: str = field()


class ThinkingStart(StreamPiece, frozen=True, kw_only=True, tag="thinking_start"):
    """Thinking begins."""


class ThinkingDelta(StreamPiece, frozen=True, kw_only=True, tag="thinking_delta"):
    """A piece of thinking."""

    delta: str = field()


class ThinkingEnd(StreamPiece, frozen=True, kw_only=True, tag="thinking_end"):
    """The thought is whole."""

    content: str = field()


class CallStart(StreamPiece, frozen=True, kw_only=True, tag="toolcall_start"):
    """A call begins."""


class CallDelta(StreamPiece, frozen=True, kw_only=True, tag="toolcall_delta"):
    """A piece of a call's arguments."""

    delta: str = field()


class CallEnd(StreamPiece, frozen=True, kw_only=True, tag="toolcall_end"):
    """The call is whole."""

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
    """A tool's result, or what it said on the way."""

    content: tuple[AnyContent, ...]
    details: Json = None


class SessionStart(Traced, frozen=True, kw_only=True, tag="session.start"):
    """The agent begins."""


class TurnStart(Traced, frozen=True, kw_only=True, tag="turn.start"):
    """A turn begins: a reply of the model and the tools it calls."""


class MessageStart(Traced, frozen=True, kw_only=True, tag="message.start"):
    """A message begins."""

    message: Message


class MessageUpdate(Traced, frozen=True, kw_only=True, tag="message.update"):
    """A piece of the model's message; `delta` is the text it adds to the answer, or empty."""

    message: PartialMessage
    event: LlmStreamEvent
    delta: str


class MessageEnd(Traced, frozen=True, kw_only=True, tag="message.end"):
    """The message is whole."""

    message: Message


class ToolBefore(Traced, frozen=True, kw_only=True, tag="tool.before"):
    """A tool begins."""

    tool_call_id: str
    tool_name: str
    args: dict[str, Json]
    raw_args: dict[str, Json]


class ToolUpdate(Traced, frozen=True, kw_only=True, tag="tool.update"):
    """A sign of life from a tool."""

    tool_call_id: str
    tool_name: str
    partial_result: Result


class ToolAfter(Traced, frozen=True, kw_only=True, tag="tool.after"):
    """A tool has ended."""

    tool_call_id: str
    tool_name: str
    result: Result
    is_error: bool


class TurnComplete(Traced, frozen=True, kw_only=True, tag="turn.complete"):
    """The turn is over."""

    message: AssistantMessage
    tool_results: tuple[ToolResultMessage, ...]


class MaxTurnsReached(Traced, frozen=True, kw_only=True, tag="max_turns_reached"):
    """The agent stops, because it may not take another turn."""

    turn_count: int


class WaitingForUserInput(Traced, frozen=True, kw_only=True, tag="waiting_for_user_input"):
    """A question to the user."""

    tool_call_id: str
    question: str
    options: tuple[str, ...] = ()


class PermissionRequest(Traced, frozen=True, kw_only=True, tag="permission_request"):
    """A call waits for a yes."""

    tool_call_id: str
    tool_name: str
    reason: str = ""


class PermissionResolved(Traced, frozen=True, kw_only=True, tag="permission_resolved"):
    """Somebody said yes or no."""

    tool_call_id: str
    tool_name: str
    decision: Literal["approved", "rejected"]


class Compaction(Traced, frozen=True, kw_only=True, tag="compaction"):
    """The history was shortened."""

    messages_before: int
    messages_after: int


class SubagentSpawn(Traced, frozen=True, kw_only=True, tag="subagent.spawn"):
    """An agent was dispatched."""

    child_session_id: str


class SubagentComplete(Traced, frozen=True, kw_only=True, tag="subagent.complete"):
    """A dispatched agent is done."""

    child_session_id: str


class SessionEnd(Traced, frozen=True, kw_only=True, tag="session.end"):
    """The agent is done: the messages of this run, and what it cost."""

    messages: tuple[Message, ...]
    usage: SessionUsage


class SkillStart(Line, frozen=True, kw_only=True, tag="skill_start"):
    """A skill begins: an agent's `Custom("skill_start", {"skillName", "task"})`."""

    skill_name: str
    task: str = ""


class SkillEnd(Line, frozen=True, kw_only=True, tag="skill_end"):
    """A skill is done: an agent's `Custom("skill_end", {"skillName"})`."""

    skill_name: str


RuntimeEvent: TypeAlias = (
    SessionStart
    | TurnStart
    | MessageStart
    | MessageUpdate
    | MessageEnd
    | ToolBefore
    | ToolUpdate
    | ToolAfter
    | TurnComplete
    | MaxTurnsReached
    | WaitingForUserInput
    | PermissionRequest
    | PermissionResolved
    | Compaction
    | SubagentSpawn
    | SubagentComplete
    | SessionEnd
)
SkillEvent: TypeAlias = SkillStart | SkillEnd
