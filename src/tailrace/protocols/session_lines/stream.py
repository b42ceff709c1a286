"""A run as lines of a session: events to one JSON object a line (agentrail's guide; order as in its code).

The main agent's replies are the messages; subagents are shown by the host's events and by their results, so
that a reader who appends every `delta` gets exactly the answer. A model's failure ends the message with
`stopReason` `error`, and the stream with `error`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Message, TextPart, ToolCall
from tailrace.events.usage import Totals
from tailrace.protocols.encoder import RUN_ENDS, Encoder, FrameEncoder, Table
from tailrace.protocols.framing.json_line import encode_ascii as _json
from tailrace.protocols.session_lines import wire_events as e
from tailrace.protocols.session_lines import wire_messages as m
from tailrace.protocols.session_lines.messages import SessionReply, contents, usage
from tailrace.protocols.session_lines.subagents import Orchestra
from tailrace.protocols.session_lines.tools import Tools

CONTEXT = 200_000
"""The size in tokens of a context of unknown size."""

Words = t.TextDelta | t.RefusalDelta | t.ReasoningDelta | t.ReasoningSummaryDelta
STOPS: dict[t.Finish, m.Stop] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "toolUse",
    "content_filter": "stop",
}
SKILLS: dict[str, type[e.SkillStart | e.SkillEnd]] = {
    "skill_start": e.SkillStart,
    "skill_end": e.SkillEnd,
}


class SessionStreamOptions(Struct, frozen=True):
    """`sse`: the lines as server-sent events, for a client that accepts those."""

    sse: bool = False


class SessionEncoder(FrameEncoder):
    """`StreamEncoder` for one run."""

    def __init__(self, run: str, options: SessionStreamOptions) -> None:
        super().__init__(run)
        self._chain = ids.run_id(run)
        self._sse = options.sse
        self._orchestra = Orchestra(run)
        self._tools = Tools(self._chain)
        self._replies: dict[str, SessionReply] = {}
        self._items: set[int] = set()
        self._messages: list[m.Message] = []
        self._reply: m.AssistantMessage | None = None
        self._history_length = 0
        self._turn = 0
        self._model = ""
        self._totals = Totals()
        self._context = (0, 0, CONTEXT)

    def _frame(self, line: e.Line) -> bytes:
        return b"data: %b\n\n" % _json(line) if self._sse else _json(line) + b"\n"

    def _say(self, *lines: e.Line) -> None:
        self._frames += [self._frame(line) for line in lines]

    def _main(self, event: t.Event) -> bool:
        return self._roster.shows(event.node) and self._roster.is_main(event.agent)

    def _below(self, event: t.Event) -> bool:
        return self._roster.shows(event.node) and not self._roster.is_main(event.agent)

    def _on_run_started(self, event: t.Event, payload: t.RunStarted) -> None:
        self._roster.start(payload)
        request = payload.request
        self._model = request.model
        self._history_length = len(request.history) + len(request.input)
        self._say(e.SessionStart(chain_id=self._chain), e.TurnStart(chain_id=self._chain))
        for item in request.input:
            if isinstance(item, Message) and item.role == "user":
                message = m.UserMessage(contents(item.content), event.ts)
                self._messages.append(message)
                self._say(
                    e.MessageStart(chain_id=self._chain, message=message),
                    e.MessageEnd(chain_id=self._chain, message=message),
                )
                self._orchestra.set_task(
                    "".join(part.text for part in item.content if isinstance(part, TextPart))
                )

    def _on_run_attempt(self, event: t.Event, payload: t.RunAttempt) -> None:
        if not payload.keeps_replies:
            self._give_up("aborted", "")

    def _on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> None:
        self._roster.add_agent(event.agent, payload)
        if self._below(event):
            self._say(*self._orchestra.on_agent_started(event, payload))

    def _on_agent_completed(self, event: t.Event, payload: t.AgentCompleted) -> None:
        if self._below(event):
            self._say(*self._orchestra.on_agent_completed(event.agent, payload.status))

    def _on_item_started(self, event: t.Event, payload: t.ItemStarted) -> None:
        if not self._roster.shows(event.node):
            return
        self._items.add(payload.item)
        if not self._main(event):
            return
        reply = self._replies.get(event.agent)
        if reply is None:
            reply = self._begin_reply(event)
        self._frames += reply.open_item(payload)

    def _begin_reply(self, event: t.Event) -> SessionReply:
        if self._reply is not None:
            self._complete_turn()
            self._turn += 1
            self._say(e.TurnStart(chain_id=self._chain, turn_index=self._turn))
        turn = e.TurnStart(chain_id=self._chain, turn_index=self._turn)
        reply = self._replies[event.agent] = SessionReply(turn, self._model, event.ts, self._frame)
        self._frames.append(reply.start())
        return reply

    def _on_words(self, event: t.Event, payload: Words) -> None:
        reply = self._replies.get(event.agent)
        if reply is not None and reply.takes(payload.item) and payload.text:
            self._frames += reply.delta(payload)

    def _on_arguments_delta(self, event: t.Event, payload: t.ArgumentsDelta) -> None:
        reply = self._replies.get(event.agent)
        if reply is not None and reply.takes(payload.item):
            self._frames.append(reply.call_delta(payload))

    def _on_item_completed(self, event: t.Event, payload: t.ItemCompleted) -> None:
        if payload.item not in self._items:
            return
        content = payload.content
        if isinstance(content, ToolCall) and payload.status == "completed":
            self._tools.add_call(payload.item, content)
            self._orchestra.add_call(payload.item, content)
        if isinstance(content, Message) and self._below(event):
            self._orchestra.set_text(event.agent, content)
        reply = self._replies.get(event.agent)
        if reply is not None and reply.takes(payload.item):
            self._frames += reply.close_item(payload)

    def _on_tool_event(self, event: t.Event, payload: t.ToolEvent) -> None:
        if payload.item in self._items and not self._below(event):
            self._say(*self._tools.works(event, payload, self._turn))

    def _on_request(
        self, event: t.Event, payload: t.ApprovalRequested | t.ApprovalResolved | t.InputRequested
    ) -> None:
        below = self._below(event)
        self._say(*self._tools.person(payload, self._turn, depth=int(below)))
        if not below or payload.item is None:
            return
        match payload:
            case t.ApprovalRequested():
                self._say(*self._orchestra.waits(event.agent, payload.item, payload.message))
            case t.InputRequested():
                self._say(*self._orchestra.waits(event.agent, payload.item, payload.message))
            case t.ApprovalResolved():
                word = "approved" if payload.approved else "rejected"
                self._say(*self._orchestra.on_answer(payload.item, word))

    def _on_compaction_started(self, event: t.Event, payload: t.CompactionStarted) -> None:
        if self._main(event):
            self._say(e.ContextCompactionStart())

    def _on_compaction_completed(self, event: t.Event, payload: t.CompactionCompleted) -> None:
        if not self._main(event):
            return
        if payload.failure:
            self._say(e.ContextCompactionEnd())
            return
        before, self._history_length = (
            self._history_length + len(self._messages),
            len(payload.replacement),
        )
        self._say(
            e.ContextCompactionEnd(),
            e.Compaction(
                chain_id=self._chain,
                turn_index=self._turn,
                messages_before=before,
                messages_after=len(payload.replacement),
            ),
        )

    def _on_context_usage(self, event: t.Event, payload: t.ContextUsage) -> None:
        if self._main(event):
            self._context = (*self._context[:2], payload.limit or CONTEXT)

    def _on_usage(self, event: t.Event, payload: t.Usage) -> None:
        if not self._roster.shows(event.node):
            return
        self._totals += Totals.of(payload)
        if payload.purpose != "reply" or not self._main(event):
            return
        self._context = (payload.input, payload.output, self._context[2])
        if event.agent not in self._replies:  # an empty reply
            self._begin_reply(event)
        self._end_reply(event.agent, STOPS[payload.finish], Totals.of(payload))

    def _on_reply_abandoned(self, event: t.Event, payload: t.ReplyAbandoned) -> None:
        if event.agent in self._replies:
            self._end_reply(event.agent, "aborted", Totals())

    def _end_reply(self, agent: str, stop: m.Stop, totals: Totals, error: str = "") -> None:
        message = self._replies.pop(agent).whole(stop, totals, error)
        self._reply = message
        self._messages.append(message)
        self._say(e.MessageEnd(chain_id=self._chain, turn_index=self._turn, message=message))

    def _complete_turn(self) -> None:
        if self._reply is None:
            return
        results, self._tools.results = tuple(self._tools.results), []
        self._messages += results
        self._say(
            e.TurnComplete(
                chain_id=self._chain,
                turn_index=self._turn,
                message=self._reply,
                tool_results=results,
            )
        )
        self._reply = None

    def _give_up(self, stop: m.Stop, error: str) -> None:
        """End the open replies, which will never complete."""
        for agent in tuple(self._replies):
            self._end_reply(agent, stop, Totals(), error)

    def _on_custom(self, event: t.Event, payload: t.Custom) -> None:
        kind = SKILLS.get(payload.name)
        if kind is not None:
            with suppress(msgspec.ValidationError):
                self._say(msgspec.convert(payload.data, kind))

    def _on_run_ended(self, event: t.Event, payload: t.RunEnd) -> None:
        self.done = True
        failure = payload.message if isinstance(payload, t.RunFailed) else ""
        self._give_up("error" if failure else "aborted", failure)
        self._complete_turn()
        self._say(*self._orchestra.over(payload))
        if isinstance(payload, t.RunFailed):
            self._say(e.Error(error=e.ErrorDetail(message=payload.message, code=payload.code)))
            return
        if isinstance(payload, t.RunIncomplete) and payload.reason == "max_turns":
            self._say(e.MaxTurnsReached(chain_id=self._chain, turn_count=self._turn + 1))
        input_tokens, output_tokens, limit = self._context
        self._say(
            e.SessionEnd(
                chain_id=self._chain, messages=tuple(self._messages), usage=usage(self._totals)
            ),
            e.SessionContextUsage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                budget_used_pct=round(100 * input_tokens / limit),
            ),
        )

    SHOWN: ClassVar[Table] = {
        **Encoder.NAMING,
        t.RunStarted: _on_run_started,
        t.RunAttempt: _on_run_attempt,
        **dict.fromkeys(RUN_ENDS, _on_run_ended),
        t.AgentStarted: _on_agent_started,
        t.AgentCompleted: _on_agent_completed,
        t.ItemStarted: _on_item_started,
        t.TextDelta: _on_words,
        t.RefusalDelta: _on_words,
        t.ReasoningDelta: _on_words,
        t.ReasoningSummaryDelta: _on_words,
        t.ArgumentsDelta: _on_arguments_delta,
        t.ItemCompleted: _on_item_completed,
        t.ToolStarted: _on_tool_event,
        t.ToolProgress: _on_tool_event,
        t.ToolCompleted: _on_tool_event,
        t.ApprovalRequested: _on_request,
        t.ApprovalResolved: _on_request,
        t.InputRequested: _on_request,
        t.CompactionStarted: _on_compaction_started,
        t.CompactionCompleted: _on_compaction_completed,
        t.ContextUsage: _on_context_usage,
        t.Usage: _on_usage,
        t.ReplyAbandoned: _on_reply_abandoned,
        t.Custom: _on_custom,
    }
    HIDDEN = frozenset(
        {
            t.RunWaiting,
            t.RunResumed,
            t.InputReceived,  # the following events show it
            t.NodeCompleted,
            t.NodeFailed,
            t.AnnotationAdded,
            t.ImagePartial,
            t.ProviderEvent,
            t.AudioDelta,
            t.TranscriptDelta,
        }
    )
