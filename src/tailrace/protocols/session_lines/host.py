"""What happens around an agent, as events of a session: context, failures, and agents below it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from tailrace.protocols.session_lines.runtime import Line, RuntimeEvent, SkillEvent


class HostObject(Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True, gc=False):
    """Base of the objects inside these events."""


class ContextCompactionStart(Line, frozen=True, kw_only=True, tag="context_compaction_start"):
    """The history is being shortened."""


class ContextCompactionEnd(Line, frozen=True, kw_only=True, tag="context_compaction_end"):
    """The history has been shortened."""


class SessionContextUsage(Line, frozen=True, kw_only=True, tag="context_usage"):
    """How full the model's context was in the last turn."""

    input_tokens: int
    output_tokens: int
    budget_used_pct: int


class ErrorDetail(HostObject, frozen=True, kw_only=True):
    """What went wrong."""

    message: str
    code: str = ""


class Error(Line, frozen=True, kw_only=True, tag="error"):
    """The run failed; nothing follows."""

    error: ErrorDetail


class OrchestrationTask(HostObject, frozen=True, kw_only=True):
    """What a run of many agents was asked."""

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
    """An agent was dispatched; `parent_id` is who dispatched it."""

    agent: SubagentInfo
    parent_id: str


class Input(HostObject, frozen=True, kw_only=True):
    """What an agent was told."""

    id: str = field()
    agent_id: str = field()
    payload: str = field()


class SubagentMessage(Line, frozen=True, kw_only=True, tag="subagent_message"):
    """An agent is told what to do."""

    agent_id: str
    input: Input


class SubagentStatus(Line, frozen=True, kw_only=True, tag="subagent_status"):
    """What an agent is doing."""

    agent_id: str
    status: Literal["idle", "running", "waiting", "closing", "closed"]


class SubagentJobStarted(Line, frozen=True, kw_only=True, tag="subagent_job_started"):
    """An agent begins to work."""

    agent_id: str
    job_id: str
    input_ids: tuple[str, ...]


class SubagentJob(HostObject, frozen=True, kw_only=True):
    """What came of an agent's work."""

    job_id: str = field()
    input_ids: tuple[str, ...] = field()
    outcome: Literal["completed", "failed", "cancelled", "timed_out"] = field()
    output_text: str = ""
    error: str = ""


class SubagentJobCompleted(Line, frozen=True, kw_only=True, tag="subagent_job_completed"):
    """An agent's work is done."""

    agent_id: str
    job: SubagentJob


class SubagentJobFailed(Line, frozen=True, kw_only=True, tag="subagent_job_failed"):
    """An agent's work came to nothing."""

    agent_id: str
    job: SubagentJob


class Wait(HostObject, frozen=True, kw_only=True):
    """What an agent waits for."""

    id: str = field()
    agent_id: str = field()
    kind: str = field()
    description: str = field()


class WaitRegistered(Line, frozen=True, kw_only=True, tag="wait_registered"):
    """An agent below waits for a person."""

    wait: Wait


class WaitResolved(Line, frozen=True, kw_only=True, tag="wait_resolved"):
    """It need not wait any longer."""

    wait_id: str
    resolution: str = ""


class SubagentClosed(Line, frozen=True, kw_only=True, tag="subagent_closed"):
    """An agent is gone."""

    agent_id: str
    reason: str = ""
    final_status: Literal["closed"] = "closed"


class OrchestrationRunComplete(Line, frozen=True, kw_only=True, tag="orchestration_run_complete"):
    """The run of several agents is over."""

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
