"""Wire types of sessions: the events, one a line. Those of the runtime and of skills describe the agent's
work, those of the host its context, failures and subagents.

Names and fields are those of agentrail's guide and, where its code has more, of the code (core 0.6).
`delta` is text for the reader; `event` names the kind of piece. The message in `message.update` is a
placeholder: `message.end` has the complete one, so that a long answer is not sent a thousand times.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from tailrace.events.items import Json
from tailrace.protocols.session_lines.wire_messages import (
    AssistantMessage,
    LlmStreamEvent,
    Message,
    PartialMessage,
    Result,
    SessionUsage,
    ToolResultMessage,
)


class Line(Struct, frozen=True, rename="camel", tag_field="type", kw_only=True, gc=False):
    """Base of every event."""


class RuntimeLine(Line, frozen=True, kw_only=True):
    """Base of the runtime's events: the run, the depth below the main agent, the turn."""

    chain_id: str
    depth: int = 0
    turn_index: int = 0


class SessionStart(RuntimeLine, frozen=True, kw_only=True, tag="session.start"):
    """The agent begins."""


class TurnStart(RuntimeLine, frozen=True, kw_only=True, tag="turn.start"):
    """A turn begins: a reply of the model and the tools that it calls."""


class MessageStart(RuntimeLine, frozen=True, kw_only=True, tag="message.start"):
    """A message begins."""

    message: Message


class MessageUpdate(RuntimeLine, frozen=True, kw_only=True, tag="message.update"):
    """A piece of the model's message; `delta` is the text it adds to the answer, or empty."""

    message: PartialMessage
    event: LlmStreamEvent
    delta: str


class MessageEnd(RuntimeLine, frozen=True, kw_only=True, tag="message.end"):
    """The message is complete."""

    message: Message


class ToolBefore(RuntimeLine, frozen=True, kw_only=True, tag="tool.before"):
    """A tool begins."""

    tool_call_id: str
    tool_name: str
    args: dict[str, Json]
    raw_args: dict[str, Json]


class ToolUpdate(RuntimeLine, frozen=True, kw_only=True, tag="tool.update"):
    """A progress message of a tool."""

    tool_call_id: str
    tool_name: str
    partial_result: Result


class ToolAfter(RuntimeLine, frozen=True, kw_only=True, tag="tool.after"):
    """A tool has ended."""

    tool_call_id: str
    tool_name: str
    result: Result
    is_error: bool


class TurnComplete(RuntimeLine, frozen=True, kw_only=True, tag="turn.complete"):
    """The turn has ended."""

    message: AssistantMessage
    tool_results: tuple[ToolResultMessage, ...]


class MaxTurnsReached(RuntimeLine, frozen=True, kw_only=True, tag="max_turns_reached"):
    """The agent stops, because it has used its last turn."""

    turn_count: int


class WaitingForUserInput(RuntimeLine, frozen=True, kw_only=True, tag="waiting_for_user_input"):
    """A question to the user."""

    tool_call_id: str
    question: str
    options: tuple[str, ...] = ()


class PermissionRequest(RuntimeLine, frozen=True, kw_only=True, tag="permission_request"):
    """A call waits for approval."""

    tool_call_id: str
    tool_name: str
    reason: str = ""


class PermissionResolved(RuntimeLine, frozen=True, kw_only=True, tag="permission_resolved"):
    """A person approved or rejected a call."""

    tool_call_id: str
    tool_name: str
    decision: Literal["approved", "rejected"]


class Compaction(RuntimeLine, frozen=True, kw_only=True, tag="compaction"):
    """The history was shortened."""

    messages_before: int
    messages_after: int


class SubagentSpawn(RuntimeLine, frozen=True, kw_only=True, tag="subagent.spawn"):
    """An agent was dispatched."""

    child_session_id: str


class SubagentComplete(RuntimeLine, frozen=True, kw_only=True, tag="subagent.complete"):
    """A dispatched agent has ended."""

    child_session_id: str


class SessionEnd(RuntimeLine, frozen=True, kw_only=True, tag="session.end"):
    """The agent has ended: the messages of this run, and its usage."""

    messages: tuple[Message, ...]
    usage: SessionUsage


class SkillStart(Line, frozen=True, kw_only=True, tag="skill_start"):
    """A skill begins: an agent's `Custom("skill_start", {"skillName", "task"})`."""

    skill_name: str
    task: str = ""


class SkillEnd(Line, frozen=True, kw_only=True, tag="skill_end"):
    """A skill has ended: an agent's `Custom("skill_end", {"skillName"})`."""

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


class HostObject(Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True, gc=False):
    """Base of the objects inside these events."""


class ContextCompactionStart(Line, frozen=True, kw_only=True, tag="context_compaction_start"):
    """The history is being shortened."""


class ContextCompactionEnd(Line, frozen=True, kw_only=True, tag="context_compaction_end"):
    """The history has been shortened."""


class SessionContextUsage(Line, frozen=True, kw_only=True, tag="context_usage"):
    """The share of the model's context that the last turn used."""

    input_tokens: int
    output_tokens: int
    budget_used_pct: int


class ErrorDetail(HostObject, frozen=True, kw_only=True):
    """An error."""

    message: str
    code: str = ""


class Error(Line, frozen=True, kw_only=True, tag="error"):
    """The run failed; nothing follows."""

    error: ErrorDetail


class OrchestrationTask(HostObject, frozen=True, kw_only=True):
    """The task of a run with several agents."""

    id: str = field()
    kind: str = field()
    input: str = field()


class OrchestrationRunStart(Line, frozen=True, kw_only=True, tag="orchestration_run_start"):
    """The run begins to use several agents."""

    run_id: str
    initial_task: OrchestrationTask


class SubagentInfo(HostObject, frozen=True, kw_only=True):
    """An agent that was dispatched; `created_at` in milliseconds since the epoch."""

    id: str = field()
    role: str = field()
    created_at: int = field()
    task_id: str = ""
    display_name: str = ""


class SubagentSpawned(Line, frozen=True, kw_only=True, tag="subagent_spawned"):
    """An agent was dispatched; `parent_id` is the agent that dispatched it."""

    agent: SubagentInfo
    parent_id: str


class Input(HostObject, frozen=True, kw_only=True):
    """The input of an agent."""

    id: str = field()
    agent_id: str = field()
    payload: str = field()


class SubagentMessage(Line, frozen=True, kw_only=True, tag="subagent_message"):
    """An agent receives its input."""

    agent_id: str
    input: Input


class SubagentStatus(Line, frozen=True, kw_only=True, tag="subagent_status"):
    """An agent's current action."""

    agent_id: str
    status: Literal["idle", "running", "waiting", "closing", "closed"]


class SubagentJobStarted(Line, frozen=True, kw_only=True, tag="subagent_job_started"):
    """An agent begins to work."""

    agent_id: str
    job_id: str
    input_ids: tuple[str, ...]


class SubagentJob(HostObject, frozen=True, kw_only=True):
    """The result of an agent."""

    job_id: str = field()
    input_ids: tuple[str, ...] = field()
    outcome: Literal["completed", "failed", "cancelled", "timed_out"] = field()
    output_text: str = ""
    error: str = ""


class SubagentJobCompleted(Line, frozen=True, kw_only=True, tag="subagent_job_completed"):
    """An agent has completed its work."""

    agent_id: str
    job: SubagentJob


class SubagentJobFailed(Line, frozen=True, kw_only=True, tag="subagent_job_failed"):
    """An agent's work has failed."""

    agent_id: str
    job: SubagentJob


class Wait(HostObject, frozen=True, kw_only=True):
    """The request for which an agent waits."""

    id: str = field()
    agent_id: str = field()
    kind: str = field()
    description: str = field()


class WaitRegistered(Line, frozen=True, kw_only=True, tag="wait_registered"):
    """A subagent waits for a person."""

    wait: Wait


class WaitResolved(Line, frozen=True, kw_only=True, tag="wait_resolved"):
    """It no longer waits."""

    wait_id: str
    resolution: str = ""


class SubagentClosed(Line, frozen=True, kw_only=True, tag="subagent_closed"):
    """An agent was closed."""

    agent_id: str
    reason: str = ""
    final_status: Literal["closed"] = "closed"


class OrchestrationRunComplete(Line, frozen=True, kw_only=True, tag="orchestration_run_complete"):
    """The run of several agents has ended."""

    run_id: str
    status: Literal["completed", "failed"]
    error: str = ""


HostEvent: TypeAlias = (
    ContextCompactionStart
    | ContextCompactionEnd
    | SessionContextUsage
    | Error
    | OrchestrationRunStart
    | SubagentSpawned
    | SubagentMessage
    | SubagentStatus
    | SubagentJobStarted
    | SubagentJobCompleted
    | SubagentJobFailed
    | WaitRegistered
    | WaitResolved
    | SubagentClosed
    | OrchestrationRunComplete
)
SessionEvent: TypeAlias = RuntimeEvent | SkillEvent | HostEvent
"""Every event of a session."""
