"""The event types of a run: one closed union of frozen structs, tagged by `type`.

The JSON form of a payload is public: the native stream shows it and the log stores it, so a name here is a
promise (docs/events.schema.json). Which may follow which: `grammar.py`; what they add up to: `state.py`.
`item` is an item's position in the run, by `item.started`; `part` is a part's position in its item.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from tailrace.events.items import Item, Json, Status
from tailrace.events.pauses import ApprovalRequested as ApprovalRequested
from tailrace.events.pauses import ApprovalResolved as ApprovalResolved
from tailrace.events.pauses import Decision as Decision
from tailrace.events.pauses import InputReceived as InputReceived
from tailrace.events.pauses import InputRequested as InputRequested
from tailrace.events.payload import Base as Base
from tailrace.events.request import RunRequest

ItemKind = Literal["message", "reasoning", "tool_call", "provider", "image", "audio"]
RunsOn = Literal["client", "server", "mcp", "provider"]
AgentKind = Literal["main", "subagent", "tool"]
Purpose = Literal["reply", "compaction", "internal"]
"""What a model call is for: a reply, a summary, or a result that only the code of the agent reads."""
Ending = Literal["completed", "incomplete", "failed", "cancelled"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]


class AgentEntry(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a run's agent registry."""

    id: str
    name: str
    kind: AgentKind = "main"
    parent: str = ""


# run: one machine from `run.started` to one of four ends


class RunStarted(Base, frozen=True, tag="run.started"):
    """The run was accepted. Always event 0."""

    request: RunRequest
    agents: tuple[AgentEntry, ...] = ()


class RunAttempt(Base, frozen=True, tag="run.attempt"):
    """A new worker took the run over. `orderly`: the previous worker handed it over; `handovers` counts
    those attempts so far. An interrupted model reply continues if the next one repeats it, and otherwise ends
    with `reply.abandoned`; without `keeps_replies` (logs of 0.1) it is abandoned here."""

    number: int
    reason: str
    orderly: bool = False
    handovers: int = 0
    keeps_replies: bool = False


class RunWaiting(Base, frozen=True, tag="run.waiting"):
    """The run is paused, durably, until a person answers."""

    reason: str


class RunResumed(Base, frozen=True, tag="run.resumed"):
    """The run continues after an answer. `request` is the turn that contained the answer, if it was a
    separate turn; `input` are the messages of that turn."""

    request: RunRequest | None = None
    input: tuple[Item, ...] = ()


class RunCompleted(Base, frozen=True, tag="run.completed"):
    """The run ended successfully."""


class RunIncomplete(Base, frozen=True, tag="run.incomplete"):
    """The run ended early on a limit: `max_output_tokens`, `content_filter`, `max_turns` …"""

    reason: str


class RunFailed(Base, frozen=True, tag="run.failed"):
    """The run failed. With a `dialect`, `code`, `param` and `error_type` are those of a model server.

    `status` is the HTTP status of the model server, or the one that its code implies, 0 if no model
    server failed; `retry_after` is the number of seconds after which the server accepts a retry.
    `final`: the server said that a retry does not help (`x-should-retry: false`)."""

    code: str
    message: str
    param: str = ""
    dialect: str = ""
    status: int = 0
    error_type: str = ""
    retry_after: float | None = None
    final: bool = False


class RunCancelled(Base, frozen=True, tag="run.cancelled"):
    """The run was cancelled; `by` describes by whom, as text for people."""

    by: str


class NodeStarted(Base, frozen=True, tag="node.started"):
    """A workflow node began; the envelope's `node_id` names it from here on."""

    node_type: str
    name: str


class NodeCompleted(Base, frozen=True, tag="node.completed"):
    """The node ended successfully."""


class NodeFailed(Base, frozen=True, tag="node.failed"):
    """The node failed."""

    message: str


class AgentStarted(Base, frozen=True, tag="agent.started"):
    """An agent invocation began; `parent` dispatched it with call item `call`."""

    name: str
    kind: AgentKind = "main"
    parent: str = ""
    call: int | None = None


class AgentCompleted(Base, frozen=True, tag="agent.completed"):
    """The invocation ended."""

    status: Ending = "completed"


class ItemStarted(Base, frozen=True, tag="item.started"):
    """An item opened. Tool calls have `name`, `call_id` and where they run. `waits_for`: a person's approval
    before the call runs, or the answer to a question. `data` is a `provider` item's first version,
    in its dialect's own form; `details` are fields of a call that only one dialect has (`Item.details`)."""

    item: int
    kind: ItemKind
    name: str = ""
    call_id: str = ""
    runs_on: RunsOn = "client"
    server_label: str = ""
    custom: bool = False
    waits_for: Literal["", "approval", "answer"] = ""
    phase: str = ""
    dialect: str = ""
    data: dict[str, Json] = {}
    details: dict[str, Json] = {}


class TextDelta(Base, frozen=True, tag="text.delta"):
    """A piece of a message's text; `logprobs` in the form of OpenAI's Responses. `details`: by dialect,
    further fields that its server sent with the piece; on a part's first piece, those of the part's start."""

    item: int
    text: str
    part: int = 0
    logprobs: tuple[Json, ...] = ()
    details: dict[str, Json] = {}


class RefusalDelta(Base, frozen=True, tag="refusal.delta"):
    """A piece of a message's refusal; `details` as of `text.delta`."""

    item: int
    text: str
    part: int = 0
    details: dict[str, Json] = {}


class AnnotationAdded(Base, frozen=True, tag="annotation.added"):
    """A citation on a text part, in the form of OpenAI's Responses; `details` by dialect, unchanged."""

    item: int
    annotation: dict[str, Json]
    part: int = 0
    details: dict[str, Json] = {}


class ReasoningDelta(Base, frozen=True, tag="reasoning.delta"):
    """A piece of the raw chain of thought; `details` as of `text.delta`."""

    item: int
    text: str
    part: int = 0
    details: dict[str, Json] = {}


class ReasoningSummaryDelta(Base, frozen=True, tag="reasoning_summary.delta"):
    """A piece of a reasoning summary."""

    item: int
    text: str
    part: int = 0


class ArgumentsDelta(Base, frozen=True, tag="arguments.delta"):
    """A piece of a tool call's arguments (JSON text, or free text for a custom tool)."""

    item: int
    text: str


class ImagePartial(Base, frozen=True, tag="image.partial"):
    """A preview of an image: base64 data of `media_type`."""

    item: int
    data: str
    media_type: str = "image/png"


class AudioDelta(Base, frozen=True, tag="audio.delta"):
    """A piece of base64 audio."""

    item: int
    data: str


class TranscriptDelta(Base, frozen=True, tag="transcript.delta"):
    """A piece of the audio's transcript."""

    item: int
    text: str


class ProviderEvent(Base, frozen=True, tag="provider.event"):
    """A server's progress event for its own item: `name` and `data` as in its dialect."""

    item: int
    name: str
    data: dict[str, Json] = {}


class ItemCompleted(Base, frozen=True, tag="item.completed"):
    """The item closed. `content` is the complete item and always equals the deltas. A runtime omits it and
    sets at most `details`: the fold derives it from the deltas, so the two cannot differ. Only for kinds
    without deltas (`provider`, `image`, `audio`) the runtime sets it."""

    item: int
    status: Status = "completed"
    content: Item | None = None
    details: dict[str, Json] = {}


class ToolStarted(Base, frozen=True, tag="tool.started"):
    """The tool of call item `item` started; `key` is the idempotency key that it received, `arguments` those
    that it received instead of the call's, because a person edited them."""

    item: int
    key: str = ""
    arguments: str | None = None


class ToolProgress(Base, frozen=True, tag="tool.progress"):
    """A progress message of a tool."""

    item: int
    message: str = ""
    progress: float | None = None
    total: float | None = None


class ToolCompleted(Base, frozen=True, tag="tool.completed"):
    """The tool's result, as the model receives it."""

    item: int
    output: str
    is_error: bool = False


class CompactionStarted(Base, frozen=True, tag="compaction.started"):
    """The agent's history is being shortened."""

    reason: str = ""


class CompactionCompleted(Base, frozen=True, tag="compaction.completed"):
    """`replacement` replaces the history up to this event; if the compaction `failed`, the history stays."""

    replacement: tuple[Item, ...] = ()
    failure: str = field(default="", name="failed")


class ContextUsage(Base, frozen=True, tag="context.usage"):
    """How full the model's context is, in tokens."""

    tokens: int
    limit: int


class Usage(Base, frozen=True, tag="usage"):
    """One model call ended, with its token counts. Emitted once per call, also if all counts are 0. `input`
    includes `cached` and `cache_write`; `output` includes `reasoning` (as OpenAI counts). `finish` is
    why the model stopped, `reason` the server's own reason if it is more specific, and `stop_sequence` the
    sequence that matched. `cost` is in the configuration's currency. A call that only compacted the history
    (`purpose`) is not a reply. `details`: by dialect, further fields of the reply as a whole, unchanged."""

    model: str
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    finish: Finish = "stop"
    cost: float | None = None
    response_id: str = ""
    purpose: Purpose = "reply"
    reason: str = ""
    stop_sequence: str = ""
    details: dict[str, Json] = {}


class ReplyAbandoned(Base, frozen=True, tag="reply.abandoned"):
    """The agent's interrupted model reply ends here, because its next reply differs. Its open items are
    closed next, as incomplete; no part of it belongs to the answer. `all`: neither does the agent's earlier
    output, because the agent restarts from the beginning."""

    all: bool = False


class Custom(Base, frozen=True, tag="custom"):
    """An event that the agent's author defines; hidden on surfaces that have no place for it."""

    name: str
    data: Json = None


RunEnd = RunCompleted | RunIncomplete | RunFailed | RunCancelled
RunEvent = RunStarted | RunAttempt | RunWaiting | RunResumed | RunEnd
NodeEvent = NodeStarted | NodeCompleted | NodeFailed
AgentEvent = AgentStarted | AgentCompleted
_ContentEvent = TextDelta | RefusalDelta | AnnotationAdded | ReasoningDelta | ReasoningSummaryDelta
Delta = _ContentEvent | ArgumentsDelta | ImagePartial | AudioDelta | TranscriptDelta | ProviderEvent
ItemEvent = ItemStarted | Delta | ItemCompleted
ToolEvent = ToolStarted | ToolProgress | ToolCompleted
PauseEvent = ApprovalRequested | ApprovalResolved | InputRequested | InputReceived
ContextEvent = CompactionStarted | CompactionCompleted | ContextUsage
WorkEvent = NodeEvent | AgentEvent | ItemEvent | ToolEvent
Payload = RunEvent | WorkEvent | PauseEvent | ContextEvent | Usage | ReplyAbandoned | Custom

MAIN = "MAIN"
"""The agent invocation that answers the request."""
RUN_NODE = NO_AGENT = ""
"""The node and the agent of events that belong to the run as a whole."""


class Draft(Struct, frozen=True, gc=False):
    """An event that the writer has not numbered yet: the output of a runtime."""

    payload: Payload
    node: str = RUN_NODE
    agent: str = NO_AGENT


class Event(Struct, frozen=True, array_like=True, gc=False):
    """One fact about a run: `seq` 0, 1, 2 … without gaps; `ts` in milliseconds since the epoch."""

    seq: int
    ts: int
    node: str
    agent: str
    payload: Payload
