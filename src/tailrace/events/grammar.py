"""Which event may follow which: one table a machine; code elsewhere only walks them.

Theory. A log is legal when six kinds of small machine, coupled only by the rules below, accept every
event in turn. Each machine has phases and a table (phase, event type) → next phase; a pair that is not
in the table is illegal. `state.py` walks the tables, docs/events.md is drawn from them, and the property
tests draw legal logs from them.

    RUN     one per log          new → running ⇄ waiting → ended
    NODE    one per node id      absent → open → closed
    AGENT   one per invocation   absent → open → closed
    ITEM    one per ordinal      absent → open → closed; `DELTAS` says which kind takes which delta
    TOOL    one per tool call    called → running → done, with stops for approval and crashes
    ASK     one per question     absent → asked → answered

Coupling rules, checked by the walker:
1. Before `run.started` nothing; after a run end nothing.
2. The run waits only when no item is open; and while it waits, only answers, a new attempt,
   `run.resumed` and run ends (`WHILE_WAITING`).
3. A node event names its node; an event of an agent names an open node and an open invocation; an
   item's events all come from the invocation that started it.
4. Item ordinals are handed out in order: the next `item.started` has the number of items so far.
5. A part's ordinal is the current part's or the next one; a part has one kind.
6. `item.completed` has the content that the deltas made.
7. A call's TOOL machine starts when its item closes as completed: client calls at `handed`, others at
   `called`, and so are client calls that put a question to a person. An incomplete call has none.
8. `run.attempt` makes every running tool `interrupted`: begun, outcome unknown; what a person had said
   of it is void.
9. `usage` of a reply ends it: the agent has no open item then; nor has the node, where no agent works.
10. A run ends only when no item, node or agent is open and no tool of ours is pending.
11. `reply.abandoned` names a source whose reply a `run.attempt` found cut off; a run completes only when
    each such reply of an open agent has gone on to its `usage` or was abandoned.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.errors import IllegalEvent
from tailrace.events import types as t

Table = Mapping[tuple[str, type[t.Base]], str]

RUN: Table = {
    ("new", t.RunStarted): "running",
    ("running", t.RunAttempt): "running",
    ("waiting", t.RunAttempt): "waiting",
    ("running", t.RunWaiting): "waiting",
    ("waiting", t.RunResumed): "running",
    ("running", t.RunCompleted): "ended",
    ("running", t.RunIncomplete): "ended",
    ("running", t.RunFailed): "ended",
    ("running", t.RunCancelled): "ended",
    ("waiting", t.RunIncomplete): "ended",
    ("waiting", t.RunFailed): "ended",
    ("waiting", t.RunCancelled): "ended",
}

NODE: Table = {
    ("absent", t.NodeStarted): "open",
    ("open", t.NodeCompleted): "closed",
    ("open", t.NodeFailed): "closed",
}

AGENT: Table = {
    ("absent", t.AgentStarted): "open",
    ("open", t.AgentCompleted): "closed",
}

ITEM: Table = {
    ("absent", t.ItemStarted): "open",
    ("open", t.TextDelta): "open",
    ("open", t.RefusalDelta): "open",
    ("open", t.AnnotationAdded): "open",
    ("open", t.ReasoningDelta): "open",
    ("open", t.ReasoningSummaryDelta): "open",
    ("open", t.ArgumentsDelta): "open",
    ("open", t.ImagePartial): "open",
    ("open", t.AudioDelta): "open",
    ("open", t.TranscriptDelta): "open",
    ("open", t.ProviderEvent): "open",
    ("open", t.ItemCompleted): "closed",
}

DELTAS: Mapping[str, frozenset[type[t.Base]]] = {
    "message": frozenset({t.TextDelta, t.RefusalDelta, t.AnnotationAdded}),
    "reasoning": frozenset({t.ReasoningDelta, t.ReasoningSummaryDelta}),
    "tool_call": frozenset({t.ArgumentsDelta}),
    "provider": frozenset({t.ProviderEvent}),
    "image": frozenset({t.ImagePartial}),
    "audio": frozenset({t.AudioDelta, t.TranscriptDelta}),
}

TOOL: Table = {
    ("called", t.ApprovalRequested): "asked",
    ("asked", t.ApprovalResolved): "called",
    ("called", t.ToolStarted): "running",
    ("running", t.ToolProgress): "running",
    ("running", t.ToolCompleted): "done",
    (
        "running",
        t.ApprovalRequested,
    ): "asked",  # a framework's tool found out that it needs an approval
    ("called", t.ToolCompleted): "done",  # denied, unknown or malformed: it never began
    ("asked", t.ToolCompleted): "done",  # the run ended while a person was asked
    ("interrupted", t.ToolStarted): "running",  # idempotent: done again
    ("interrupted", t.ToolCompleted): "done",  # told to the model as "outcome unknown"
    ("interrupted", t.ApprovalRequested): "doubted",  # a person decides whether it runs again
    ("doubted", t.ApprovalResolved): "interrupted",
    ("doubted", t.ToolCompleted): "done",
    ("handed", t.ToolCompleted): "done",  # a client's output that came while the run waited
}

ASKED_TOOL = frozenset({"asked", "doubted"})
"""Phases in which a call waits for a person."""

PENDING_TOOL = frozenset({"called", "running", "interrupted"}) | ASKED_TOOL

ASK: Table = {
    ("absent", t.InputRequested): "asked",
    ("asked", t.InputReceived): "answered",
}

WHILE_WAITING: frozenset[type[t.Base]] = frozenset(
    {
        t.RunAttempt,
        t.RunResumed,
        t.RunIncomplete,
        t.RunFailed,
        t.RunCancelled,
        t.ApprovalResolved,
        t.InputReceived,
        t.ToolCompleted,
        t.ItemCompleted,
        t.AgentCompleted,
        t.NodeCompleted,
        t.NodeFailed,
    }
)

MACHINES: Mapping[str, Table] = {
    "run": RUN,
    "node": NODE,
    "agent": AGENT,
    "item": ITEM,
    "tool": TOOL,
    "ask": ASK,
}


def step(machine: str, phase: str, event: type[t.Base], who: str) -> str:
    """The phase after `event`, or `IllegalEvent` naming the machine, whose it is, and the phase."""
    after = MACHINES[machine].get((phase, event))
    if after is None:
        raise IllegalEvent(f"{tag(event)} is not allowed while {machine} {who} is {phase}")
    return after


def tag(event: type[t.Base]) -> str:
    """The public name of an event type (`text.delta`)."""
    return str(event.__struct_config__.tag)
