"""One model reply of a Pydantic AI agent on its way into the log.

It takes the stream's events as they arrive and the whole response at the end. A call's end is not in the
stream (`PartEndEvent` comes when the next part begins, and deltas may still follow), so calls are closed
from the response. A call of an output tool is the answer itself: it is shown as a message.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_ai.messages import (
    CompactionPart,
    FilePart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.tools import ToolDefinition

from tailrace.events import types as t
from tailrace.events.items import ImagePart, Json, Message, ProviderItem
from tailrace.runtimes.adapters.pydantic_ai.messages import DIALECT, arguments_text, details, dump
from tailrace.runtimes.adapters.reply_recorder import ReplyRecorder


class PydanticAIReply:
    """Opens and closes the items of one reply."""

    def __init__(
        self,
        recorder: ReplyRecorder,
        tools: Mapping[str, ToolDefinition],
        label: str,
        *,
        main: bool,
    ) -> None:
        self._recorder = recorder
        self._say = recorder.emit
        self._tools = tools
        self._label = label
        self._main = main
        self._open: dict[int, int] = {}
        self._calls: dict[str, int] = {}
        self._argument_sizes: dict[str, int] = {}
        self._call_ids: dict[int, str] = {}

    def take(self, event: ModelResponseStreamEvent) -> None:
        """Add one event of the stream. Its information about the final result is ignored."""
        match event:
            case PartStartEvent(index=index, part=part):
                self._on_part_start(index, part)
            case PartDeltaEvent(index=index, delta=TextPartDelta(content_delta=text)):
                self._add_text(index, text)
            case PartDeltaEvent(index=index, delta=ThinkingPartDelta(content_delta=text)):
                self._add_reasoning(index, text or "")
            case PartDeltaEvent(index=index, delta=ToolCallPartDelta(args_delta=str(text))):
                if index in self._call_ids:
                    self._add_arguments(self._call_ids[index], text)
            case PartEndEvent(index=index, part=part):
                self._on_part_end(index, part)
            case _:
                pass

    def whole(self, response: ModelResponse) -> None:
        """Record a reply that was not streamed."""
        for index, part in enumerate(response.parts):
            self._on_part_start(index, part)
            self._on_part_end(index, part)
        self.finish(response)

    def finish(self, response: ModelResponse) -> None:
        """Close what is open and account for the reply."""
        for index in list(self._open):
            self._say(t.ItemCompleted(self._open.pop(index)))
        whole = {call.tool_call_id: call for call in response.tool_calls}
        for call_id, number in self._calls.items():
            if call_id in whole:
                self._finish_call(whole[call_id])
            else:  # renamed or withdrawn during the stream: no result will name it
                self._say(t.ItemCompleted(number, "incomplete"))
        self._say(_usage(response, calls=self._shows_calls()))

    def _on_part_start(self, index: int, part: ModelResponsePart) -> None:
        match part:
            case TextPart(content=text):
                self._add_text(index, text)
            case ThinkingPart(content=text):
                self._add_reasoning(index, text)
            case ToolCallPart():
                self._start_call(index, part)
            case _:
                pass

    def _add_text(self, index: int, text: str) -> None:
        if text:
            number = self._item(index, "message")
            self._say(t.TextDelta(number, text))

    def _add_reasoning(self, index: int, text: str) -> None:
        number = self._item(index, "reasoning")
        if text:
            self._say(t.ReasoningDelta(number, text))

    def _item(self, index: int, kind: t.ItemKind) -> int:
        if index not in self._open:
            self._open[index] = self._start(t.ItemStarted(self._recorder.next_number(), kind))
        return self._open[index]

    def _start_call(self, index: int, part: ToolCallPart) -> None:
        tool = self._tools.get(part.tool_name)
        kind = tool.kind if tool is not None else "function"
        number = self._recorder.next_number()
        if kind == "output":
            self._start(t.ItemStarted(number, "message"))
        else:
            client = kind == "external" and self._main
            self._start(
                t.ItemStarted(
                    number,
                    "tool_call",
                    name=part.tool_name,
                    call_id=part.tool_call_id,
                    runs_on="client" if client else "server",
                    server_label="" if client else self._label,
                    waits_for="approval" if kind == "unapproved" else "",
                )
            )
        self._calls[part.tool_call_id] = number
        self._call_ids[index] = part.tool_call_id
        if isinstance(part.args, str):
            self._add_arguments(part.tool_call_id, part.args)

    def _add_arguments(self, call_id: str, text: str) -> None:
        if not text:
            return
        number = self._calls[call_id]
        self._argument_sizes[call_id] = self._argument_sizes.get(call_id, 0) + len(text)
        if self._is_answer(number):
            self._say(t.TextDelta(number, text))
        else:
            self._say(t.ArgumentsDelta(number, text))

    def _finish_call(self, call: ToolCallPart) -> None:
        number = self._calls[call.tool_call_id]
        if not self._argument_sizes.get(call.tool_call_id):
            self._add_arguments(call.tool_call_id, arguments_text(call))
        fields = details(call)
        if self._is_answer(number):
            fields = details(call, tool_name=call.tool_name, tool_call_id=call.tool_call_id)
        self._say(t.ItemCompleted(number, details=fields))

    def _on_part_end(self, index: int, part: ModelResponsePart) -> None:
        match part:
            case TextPart() | ThinkingPart() if index in self._open:
                self._say(t.ItemCompleted(self._open.pop(index), details=details(part)))
            case FilePart() if part.content.is_image:
                image = ImagePart(part.content.data_uri)
                number = self._start(t.ItemStarted(self._recorder.next_number(), "image"))
                message = Message(role="assistant", content=(image,))
                self._say(t.ItemCompleted(number, content=message))
            case FilePart() | NativeToolCallPart() | NativeToolReturnPart() | CompactionPart():
                data: dict[str, Json] = dump(part)
                number = self._recorder.next_number()
                self._start(t.ItemStarted(number, "provider", dialect=DIALECT, data=data))
                item = ProviderItem(dialect=DIALECT, data=data)
                self._say(t.ItemCompleted(number, content=item))
            case _:
                pass

    def _start(self, start: t.ItemStarted) -> int:
        self._say(start)
        return start.item

    def _is_answer(self, number: int) -> bool:
        return self._recorder.kind(number) == "message"

    def _shows_calls(self) -> bool:
        return any(not self._is_answer(number) for number in self._calls.values())


def _usage(response: ModelResponse, *, calls: bool) -> t.Usage:
    counts = response.usage
    finish: t.Finish = "tool_calls" if calls else "stop"
    if response.finish_reason in ("length", "content_filter"):
        finish = response.finish_reason
    return t.Usage(
        response.model_name or "",
        input=counts.input_tokens,
        cached=counts.cache_read_tokens,
        cache_write=counts.cache_write_tokens,
        output=counts.output_tokens,
        reasoning=counts.output_reasoning_tokens,
        finish=finish,
        response_id=response.provider_response_id or "",
    )
