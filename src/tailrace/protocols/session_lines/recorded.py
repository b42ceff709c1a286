"""A recorded session read back: its lines as payloads of one agent.

Whether a call ran on the server is known only later: from `tool.before`, which is absent for a call of the
client. So the calls of a reply wait for that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec

from tailrace.errors import Malformed, ModelFailed
from tailrace.events import types as t
from tailrace.protocols.recorded import RecordedFrame
from tailrace.protocols.session_lines import wire_events as e
from tailrace.protocols.session_lines import wire_messages as m

_decode = msgspec.json.Decoder(e.SessionEvent).decode
FINISH: dict[str, t.Finish] = {"stop": "stop", "length": "length", "toolUse": "tool_calls"}


class SessionReader:
    """`RecordedReader` for lines of a session."""

    def __init__(self) -> None:
        self.failure: ModelFailed | None = None
        self.cancelled = False
        self.done = False
        self._items = itertools.count()
        self._open: dict[int, int] = {}
        self._calls: list[m.ToolCallContent] = []
        self._ordinals: dict[str, int] = {}
        self._usage: t.Usage | None = None

    def take(self, frame: RecordedFrame) -> list[t.Payload]:
        if not frame.data:
            return []
        try:
            return list(self._event(_decode(frame.data)))
        except msgspec.ValidationError as error:
            raise Malformed(f"not an event of a session: {error}", frame.offset) from None
        except KeyError as error:
            raise Malformed(f"a piece of content {error} that never began", frame.offset) from None

    def close(self) -> list[t.Payload]:
        return list(self._reply_ended("client"))

    def _event(self, event: e.SessionEvent) -> Iterator[t.Payload]:
        match event:
            case e.MessageUpdate():
                yield from self._piece(event.event)
            case e.MessageEnd(message=m.AssistantMessage()):
                self._on_message(event.message)
            case e.ToolBefore():
                yield from self._call_payloads("server")
                if event.tool_call_id in self._ordinals:
                    yield t.ToolStarted(self._ordinals[event.tool_call_id])
            case e.ToolAfter():
                text = "".join(c.text for c in event.result.content if isinstance(c, m.TextContent))
                item = self._ordinals.pop(event.tool_call_id, None)
                if item is not None:
                    yield t.ToolCompleted(item, text, event.is_error)
            case e.TurnComplete():
                yield from self._reply_ended("client")
            case e.SessionEnd():
                self.done = True
            case e.Error():
                self.failure = ModelFailed(
                    event.error.message, code=event.error.code or "server_error"
                )
            case _:
                pass  # events of subagents and of the host are not payloads of the main agent

    def _piece(self, piece: m.LlmStreamEvent) -> Iterator[t.Payload]:
        index = piece.content_index
        match piece:
            case m.TextStart() | m.ThinkingStart():
                item = self._open[index] = next(self._items)
                kind: t.ItemKind = "message" if isinstance(piece, m.TextStart) else "reasoning"
                yield t.ItemStarted(item, kind)
            case m.TextDeltaPiece():
                yield t.TextDelta(self._open[index], piece.delta)
            case m.ThinkingDelta():
                yield t.ReasoningDelta(self._open[index], piece.delta)
            case m.TextEnd() | m.ThinkingEnd():
                yield t.ItemCompleted(self._open.pop(index))
            case m.CallEnd():
                self._calls.append(piece.tool_call)
            case m.CallStart() | m.CallDelta():
                pass  # its end has the complete message

    def _on_message(
        self, message: m.AssistantMessage | m.UserMessage | m.ToolResultMessage
    ) -> None:
        if isinstance(message, m.AssistantMessage):
            self.cancelled = message.stop_reason == "aborted"
            usage = message.usage
            self._usage = t.Usage(
                message.model_id,
                input=usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens,
                cached=usage.cache_read_tokens,
                cache_write=usage.cache_write_tokens,
                output=usage.output_tokens,
                finish=FINISH.get(message.stop_reason, "stop"),
            )

    def _reply_ended(self, runs_on: t.RunsOn) -> Iterator[t.Payload]:
        yield from (t.ItemCompleted(item, "incomplete") for item in self._open.values())
        self._open = {}
        yield from self._call_payloads(runs_on)

    def _call_payloads(self, runs_on: t.RunsOn) -> Iterator[t.Payload]:
        """The reply's calls, and its usage once all of them are closed."""
        for call in self._calls:
            item = self._ordinals[call.id] = next(self._items)
            text = msgspec.json.encode(call.arguments).decode()
            yield t.ItemStarted(item, "tool_call", name=call.name, call_id=call.id, runs_on=runs_on)
            yield t.ArgumentsDelta(item, text)
            yield t.ItemCompleted(item)
        self._calls = []
        if self._usage is not None and not self._open:
            yield self._usage
            self._usage = None
