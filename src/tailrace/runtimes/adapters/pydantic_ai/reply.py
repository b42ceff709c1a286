"""One model reply of a Pydantic AI agent on its way into the log.

Takes the stream's events as they come and the whole response at its end. A call's end is not in the
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
from tailrace.runtimes.adapters.pydantic_ai.messages import DIALECT, details, dump, told_arguments
from tailrace.runtimes.adapters.telling import Telling


class PydanticAIReply:
    """Opens and closes the items of one reply."""

    def __init__(
        self,
        telling: Telling,
        tools: Mapping[str, ToolDefinition],
        label: str,
        *,
        main: bool,
    ) -> None:
        self._telling = telling
        self._say = telling.say
        self._tools = tools
        self._label = label
        self._main = main
        self._open: dict[int, int] = {}
        self._calls: dict[str, int] = {}
        self._streamed: dict[str, int] = {}
        self._call_ids: dict[int, str] = {}

    def take(self, event: ModelResponseStreamEvent) -> None:
        """One event of the stream. What it says of the final result is of no use here."""
        match event:
            case PartStartEvent(index=index, part=part):
                self._begun(index, part)
            case PartDeltaEvent(index=index, delta=TextPartDelta(content_delta=text)):
                self._text(index, text)
            case PartDeltaEvent(index=index, delta=ThinkingPartDelta(content_delta=text)):
                self._thought(index, text or "")
            case PartDeltaEvent(index=index, delta=ToolCallPartDelta(args_delta=str(text))):
                if index in self._call_ids:
                    self._argued(self._call_ids[index], text)
            case PartEndEvent(index=index, part=part):
                self._ended(index, part)
            case _:
                pass

    def whole(self, response: ModelResponse) -> None:
        """A reply that was not streamed."""
        for index, part in enumerate(response.parts):
            self._begun(index, part)
            self._ended(index, part)
        self.done(response)

    def done(self, response: ModelResponse) -> None:
        """Close what is open and account for the reply."""
        for index in list(self._open):
            self._say(t.ItemCompleted(self._open.pop(index)))
        whole = {call.tool_call_id: call for call in response.tool_calls}
        for call_id, number in self._calls.items():
            if call_id in whole:
                self._call_done(whole[call_id])
            else:  # renamed or taken back on the way: no result will ever name it
                self._say(t.ItemCompleted(number, "incomplete"))
        self._say(_usage(response, calls=self._shows_calls()))

    def _begun(self, index: int, part: ModelResponsePart) -> None:
        match part:
            case TextPart(content=text):
                self._text(index, text)
            case ThinkingPart(content=text):
                self._thought(index, text)
            case ToolCallPart():
                self._called(index, part)
            case _:
                pass

    def _text(self, index: int, text: str) -> None:
        if text:
            number = self._item(index, "message")
            self._say(t.TextDelta(number, text))

    def _thought(self, index: int, text: str) -> None:
        number = self._item(index, "reasoning")
        if text:
            self._say(t.ReasoningDelta(number, text))

    def _item(self, index: int, kind: t.ItemKind) -> int:
        if index not in self._open:
            self._open[index] = self._start(t.ItemStarted(self._telling.next(), kind))
        return self._open[index]

    def _called(self, index: int, part: ToolCallPart) -> None:
        tool = self._tools.get(part.tool_name)
        kind = tool.kind if tool is not None else "function"
        number = self._telling.next()
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
            self._argued(part.tool_call_id, part.args)

    def _argued(self, call_id: str, text: str) -> None:
        if not text:
            return
        number = self._calls[call_id]
        self._streamed[call_id] = self._streamed.get(call_id, 0) + len(text)
        if self._is_answer(number):
            self._say(t.TextDelta(number, text))
        else:
            self._say(t.ArgumentsDelta(number, text))

    def _call_done(self, call: ToolCallPart) -> None:
        number = self._calls[call.tool_call_id]
        if not self._streamed.get(call.tool_call_id):
            self._argued(call.tool_call_id, told_arguments(call))
        kept = details(call)
        if self._is_answer(number):
            kept = details(call, tool_name=call.tool_name, tool_call_id=call.tool_call_id)
        self._say(t.ItemCompleted(number, details=kept))

    def _ended(self, index: int, part: ModelResponsePart) -> None:
        match part:
            case TextPart() | ThinkingPart() if index in self._open:
                self._say(t.ItemCompleted(self._open.pop(index), details=details(part)))
            case FilePart() if part.content.is_image:
                image = ImagePart(part.content.data_uri)
                number = self._start(t.ItemStarted(self._telling.next(), "image"))
                message = Message(role="assistant", content=(image,))
                self._say(t.ItemCompleted(number, content=message))
            case FilePart() | NativeToolCallPart() | NativeToolReturnPart() | CompactionPart():
                data: dict[str, Json] = dump(part)
                number = self._telling.next()
                self._start(t.ItemStarted(number, "provider", dialect=DIALECT, data=data))
                item = ProviderItem(dialect=DIALECT, data=data)
                self._say(t.ItemCompleted(number, content=item))
            case _:
                pass

    def _start(self, started: t.ItemStarted) -> int:
        self._say(started)
        return started.item

    def _is_answer(self, number: int) -> bool:
        return self._telling.kind(number) == "message"

    def _shows_calls(self) -> bool:
        return any(not self._is_answer(number) for number in self._calls.values())


def _usage(response: ModelResponse, *, calls: bool) -> t.Usage:
    used = response.usage
    finish: t.Finish = "tool_calls" if calls else "stop"
    if response.finish_reason in ("length", "content_filter"):
        finish = response.finish_reason
    return t.Usage(
        response.model_name or "",
        input=used.input_tokens,
        cached=used.cache_read_tokens,
        cache_write=used.cache_write_tokens,
        output=used.output_tokens,
        reasoning=used.output_reasoning_tokens,
        finish=finish,
        response_id=response.provider_response_id or "",
    )
