"""One model reply of a LangChain model on its way into the log.

Takes the chunks as they arrive and the complete message at the end. Replies of one agent are logged one
after the other: nodes that run in parallel may call models at the same time, and the later reply waits
until the earlier one has ended. A call of an output tool is the answer itself: it is shown as a message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, cast

import msgspec
from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall

from tailrace.events import types as t
from tailrace.events.state import RunState
from tailrace.runtimes.adapters.langgraph.messages import details, usage
from tailrace.runtimes.adapters.reply_recorder import ReplyRecorder

Say = Callable[[t.Payload], None]
MALFORMED = "The arguments are not a JSON object."


class ToolRoles(NamedTuple):
    """The tools that a model may call, by the executor of the call: `client` the client; `approval` the
    server, after a person's approval; `answers` none, because the call is the answer; any other the server,
    under `label`."""

    label: str
    client: Collection[str]
    approval: Collection[str]
    answers: Collection[str]


class Floor:
    """Selects the one of an agent's parallel replies that is recorded now: the one that started first."""

    def __init__(self) -> None:
        self._waiting: deque[LangGraphReply] = deque()

    def line_up(self, reply: LangGraphReply) -> None:
        """The next reply."""
        self._waiting.append(reply)

    def has(self, reply: LangGraphReply) -> bool:
        """Whether it is this reply's turn."""
        return self._waiting[0] is reply

    def leave(self, reply: LangGraphReply) -> None:
        """This reply is recorded."""
        first = self._waiting[0] is reply
        self._waiting.remove(reply)
        if first and self._waiting:
            self._waiting[0].catch_up()


class LangGraphReply:
    """Opens and closes the items of one reply; `say` emits events of its agent that are not part of the
    reply."""

    def __init__(
        self,
        state: RunState,
        floor: Floor,
        recorder: ReplyRecorder,
        say: Say,
        tools: ToolRoles,
        *,
        as_reasoning: bool = False,
    ) -> None:
        """`as_reasoning`: the text is shown as reasoning, because its node does not speak to the user."""
        self._state = state
        self._as_reasoning = as_reasoning
        self._floor = floor
        self._recorder = recorder
        self._say = recorder.emit
        self._say_beside = say
        self._tools = tools
        self._waiting: list[Callable[[], None]] = []
        self._items: list[int] = []
        self._open: tuple[t.ItemKind, int] | None = None
        self._calls: dict[object, int] = {}
        self._by_id: dict[str, int] = {}
        self._calls_with_arguments: set[int] = set()
        self.finished = asyncio.Event()
        floor.line_up(self)

    def take(self, chunk: AIMessageChunk) -> None:
        """Add a chunk."""
        self._in_turn(lambda: self._take(chunk))

    def finish(self, message: AIMessage, key: str, model: str) -> None:
        """The complete message: close what is open and account for it."""
        self._in_turn(lambda: self._finish(message, key, model))

    def give_up(self) -> None:
        """The reply was interrupted."""
        self._in_turn(self._give_up)

    def catch_up(self) -> None:
        """It is the turn of this reply."""
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()

    def _in_turn(self, work: Callable[[], None]) -> None:
        if self._floor.has(self):
            work()
        else:
            self._waiting.append(work)

    def _take(self, chunk: AIMessageChunk) -> None:
        content = cast("object", chunk.content)
        if isinstance(content, str):
            if reasoning := chunk.additional_kwargs.get("reasoning_content"):
                self._piece("reasoning", str(reasoning))
            self._piece("message", content)
        else:
            for block in cast("list[dict[str, Any]]", chunk.content_blocks):
                if block["type"] == "text":
                    self._piece("message", block.get("text") or "")
                elif block["type"] == "reasoning":
                    self._piece("reasoning", block.get("reasoning") or "")
        for piece in chunk.tool_call_chunks:
            key = piece["index"] if piece["index"] is not None else piece["id"]
            if key not in self._calls:
                if not piece["name"]:
                    continue
                self._calls[key] = self._start_call(piece["name"], piece["id"] or "")
            self._argue(self._calls[key], piece["args"] or "")

    def _piece(self, kind: t.ItemKind, text: str) -> None:
        if not text:
            return
        kind = "reasoning" if self._as_reasoning else kind
        if self._open is None or self._open[0] != kind:
            self._close_text()
            self._open = (kind, self._start(t.ItemStarted(self._recorder.next_number(), kind)))
        number = self._open[1]
        if kind == "message":
            self._say(t.TextDelta(number, text))
        else:
            self._say(t.ReasoningDelta(number, text))

    def _close_text(self) -> None:
        if self._open is not None:
            self._say(t.ItemCompleted(self._open[1]))
            self._open = None

    def _start_call(self, name: str, call_id: str) -> int:
        self._close_text()
        number = self._recorder.next_number()
        if name in self._tools.answers:
            self._start(t.ItemStarted(number, "message"))
        else:
            client = name in self._tools.client
            self._start(
                t.ItemStarted(
                    number,
                    "tool_call",
                    name=name,
                    call_id=call_id,
                    runs_on="client" if client else "server",
                    server_label="" if client else self._tools.label,
                    waits_for="approval" if name in self._tools.approval and not client else "",
                )
            )
        self._by_id[call_id] = number
        return number

    def _argue(self, number: int, text: str) -> None:
        if not text:
            return
        self._calls_with_arguments.add(number)
        if self._is_answer(number):
            self._say(t.TextDelta(number, text))
        else:
            self._say(t.ArgumentsDelta(number, text))

    def _finish(self, message: AIMessage, key: str, model: str) -> None:
        if not self._items:
            self._take(AIMessageChunk(content=message.content, **_beside(message)))
        for call in message.tool_calls:
            self._whole_call(call)
        ends = {number for number in self._by_id.values() if self._recorder.is_open(number)}
        if self._open is not None:
            ends.add(self._open[1])
        answer = any(self._is_answer(number) for number in self._by_id.values())
        fields = details(message, key, answer=answer or self._as_reasoning)
        for number in sorted(ends):
            last = number == max(ends)
            self._say(t.ItemCompleted(number, details=fields if last else {}))
        calls = [number for number in self._by_id.values() if not self._is_answer(number)]
        self._say(usage(message, model, calls=bool(calls)))
        broken = {call["id"] for call in message.invalid_tool_calls}
        for call_id, number in self._by_id.items():
            number_in_run = self._recorder.number(number)
            if call_id in broken and self._state.items[number_in_run].tool == "called":
                self._say_beside(t.ToolCompleted(number_in_run, MALFORMED, is_error=True))
        self._end()

    def _whole_call(self, call: ToolCall) -> None:
        number = self._by_id.get(call["id"] or "")
        if number is None:
            number = self._start_call(call["name"], call["id"] or "")
        if number not in self._calls_with_arguments:
            self._argue(number, msgspec.json.encode(call["args"], enc_hook=str).decode())

    def _give_up(self) -> None:
        for number in self._items:
            if self._recorder.is_open(number):
                self._say(t.ItemCompleted(number, "incomplete"))
        self._end()

    def _end(self) -> None:
        self.finished.set()
        self._floor.leave(self)

    def _start(self, start: t.ItemStarted) -> int:
        self._say(start)
        self._items.append(start.item)
        return start.item

    def _is_answer(self, number: int) -> bool:
        return self._recorder.kind(number) == "message"


def _beside(message: AIMessage) -> dict[str, Any]:
    """The content of a message that was not streamed, besides its text."""
    reasoning = message.additional_kwargs.get("reasoning_content")
    return {"additional_kwargs": {"reasoning_content": reasoning}} if reasoning else {}
