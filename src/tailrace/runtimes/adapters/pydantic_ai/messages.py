"""Our items as Pydantic AI's messages, and its parts as our items.

Data that only Pydantic AI can read again (signatures, provider ids, native tool calls) are kept in an
item's `details` under `DIALECT`, or as a `ProviderItem` of that dialect.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, cast

import msgspec
from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from tailrace.errors import ModelFailed
from tailrace.events import items as i
from tailrace.events.request import RunRequest
from tailrace.runtimes.adapters.late_input import LateInput, place

DIALECT = "pydantic_ai"
NO_RESULT = "There is no result of this call."

Prompt = str | Sequence[UserContent] | None


def request_prompt(request: RunRequest) -> tuple[Prompt, list[ModelMessage], str]:
    """A request as (user prompt, message history, instructions), the arguments of `Agent.run`.

    System messages become instructions, so that they add to the agent's own prompt and never replace it.
    """
    items = [*request.history, *request.input]
    notes = [request.instructions]
    rest: list[i.Item] = []
    for item in items:
        if isinstance(item, i.Message) and item.role in ("system", "developer"):
            notes.append(i.text_of(item.content))
        else:
            rest.append(item)
    prompt: Prompt = None
    if rest and isinstance(rest[-1], i.Message) and rest[-1].role == "user":
        prompt = _user_content(rest.pop())
    return prompt, _messages(rest), "\n\n".join(filter(None, notes))


def with_late_inputs(messages: list[ModelMessage], late: Sequence[LateInput]) -> list[ModelMessage]:
    """The messages for a model, with those that came with people's answers, in the requests that have the
    tools' results."""
    begins = [n for n, message in enumerate(messages) if isinstance(message, ModelResponse)]
    result = list(messages)
    for each in late:
        at = place(begins, len(messages), each.replies) - 1
        request = result[at]
        if isinstance(request, ModelRequest):
            prompts = [UserPromptPart(_user_content(message)) for message in each.messages]
            result[at] = replace(request, parts=[*request.parts, *prompts])
    return result


def response(items: Iterable[i.Item], *, in_same_run: bool) -> ModelResponse:
    """One model reply, from its recorded items.

    `in_same_run`: it is played back to the run that it was made in, where an answer by an output tool is that
    tool's call again; in a later turn it is text.
    """
    parts = [part for item in items for part in _reply_parts(item, in_same_run=in_same_run)]
    names = [part.provider_name for part in parts if getattr(part, "provider_name", None)]
    return ModelResponse(parts=parts, provider_name=names[0] if names else None)


def details(part: ModelResponsePart, **more: i.Json) -> dict[str, i.Json]:
    """The fields of a text, thinking or call part that must be sent back besides its text."""
    fields = {
        name: value
        for name in ("id", "signature", "provider_name", "provider_details")
        if (value := getattr(part, name, None))
    }
    fields.update(more)
    return {DIALECT: fields} if fields else {}


def dump(part: ModelResponsePart) -> dict[str, i.Json]:
    """A part as JSON."""
    (message,) = ModelMessagesTypeAdapter.dump_python([ModelResponse(parts=[part])], mode="json")
    return cast("dict[str, i.Json]", message["parts"][0])


def _messages(items: Sequence[i.Item]) -> list[ModelMessage]:
    """A conversation as messages; calls without an output get one, which the framework requires."""
    names = {item.call_id: item.name for item in items if isinstance(item, i.ToolCall)}
    ids_with_output = {item.call_id for item in items if isinstance(item, i.ToolOutput)}
    messages: list[ModelMessage] = []
    for is_reply, group in groupby(items, _is_reply):
        if is_reply:
            reply = response(group, in_same_run=False)
            messages.append(reply)
            open_calls = [c for c in reply.tool_calls if c.tool_call_id not in ids_with_output]
            parts: list[ModelRequestPart] = [_no_result(call) for call in open_calls]
        else:
            parts = [_request_part(item, names) for item in group]
        if parts:
            messages.append(ModelRequest(parts=parts))
    return messages


def _is_reply(item: i.Item) -> bool:
    if isinstance(item, i.Message):
        return item.role == "assistant"
    return not isinstance(item, i.ToolOutput)


def _no_result(call: ToolCallPart) -> ToolReturnPart:
    return ToolReturnPart(call.tool_name, NO_RESULT, call.tool_call_id, outcome="interrupted")


def _request_part(item: i.Item, names: dict[str, str]) -> ModelRequestPart:
    if isinstance(item, i.ToolOutput):
        content = [_content(part) for part in item.output]
        return ToolReturnPart(
            names.get(item.call_id, "unknown"),
            i.text_of(item.output) if all(isinstance(c, str) for c in content) else content,
            item.call_id,
            outcome="failed" if item.is_error else "success",
        )
    return UserPromptPart(_user_content(item))


def _user_content(item: i.Item) -> str | list[UserContent]:
    parts = item.content if isinstance(item, i.Message) else ()
    content = [_content(part) for part in parts]
    return i.text_of(parts) if all(isinstance(c, str) for c in content) else content


def _content(part: i.Part) -> UserContent:
    """Raises `ModelFailed` for a file that has only a provider's id."""
    match part:
        case i.TextPart():
            return part.text
        case i.RefusalPart():
            return part.refusal
        case i.ImagePart(url=url) if url:
            return BinaryContent.from_data_uri(url) if _is_data(url) else ImageUrl(url)
        case i.FilePart(data=data) if data:
            return BinaryContent.from_data_uri(data)
        case i.FilePart(url=url) if url:
            return DocumentUrl(url)
        case i.AudioPart():
            kind = "mpeg" if part.format == "mp3" else part.format
            return BinaryContent(base64.b64decode(part.data), media_type=f"audio/{kind}")
        case i.ProviderPart():
            word = part.data.get("type")
            raise ModelFailed(f"A Pydantic AI agent knows no content of type {word!r}.")
        case _:
            raise ModelFailed("A Pydantic AI agent takes files as URLs or inline, not by file id.")


def _is_data(url: str) -> bool:
    return url.startswith("data:")


def _reply_parts(item: i.Item, *, in_same_run: bool) -> list[ModelResponsePart]:
    fields = cast("dict[str, Any]", dict(item.details.get(DIALECT) or {}))
    match item:
        case i.Message() if "tool_name" in fields and in_same_run:
            return [ToolCallPart(args=i.text_of(item.content), **fields)]
        case i.Message():
            parts: list[ModelResponsePart] = []
            if text := i.text_of(item.content):
                parts.append(TextPart(text, **(fields if "tool_name" not in fields else {})))
            images = [part for part in item.content if isinstance(part, i.ImagePart)]
            inline = [image.url for image in images if _is_data(image.url)]
            return [*parts, *(FilePart(BinaryContent.from_data_uri(url)) for url in inline)]
        case i.Reasoning():
            return [ThinkingPart("".join(item.text or item.summary), **fields)]
        case i.ToolCall():
            return [ToolCallPart(item.name, item.arguments or "{}", item.call_id, **fields)]
        case i.ProviderItem(dialect="pydantic_ai"):
            data = {"kind": "response", "parts": [item.data]}
            (message,) = ModelMessagesTypeAdapter.validate_python([data])
            return list(cast("ModelResponse", message).parts)
        case i.ProviderItem() | i.ToolOutput():
            return []


def arguments_text(part: ToolCallPart) -> str:
    """A call's arguments as the model wrote them, or as the framework assembled them."""
    if isinstance(part.args, str):
        return part.args
    return msgspec.json.encode(part.args or {}).decode()
