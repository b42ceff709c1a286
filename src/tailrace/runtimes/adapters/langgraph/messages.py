"""Our items as LangChain's messages, and the fields of a message that our items do not have.

Content that our items do not have (a provider's own blocks, extra fields) is kept in the `details` of the
reply's last item, under `DIALECT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, cast

import msgspec
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from tailrace.errors import ModelFailed
from tailrace.events import items as i
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.runtimes.adapters.late_input import LateInput, insert_late

DIALECT = "langgraph"
NO_RESULT = "There is no result of this call."
Block = dict[str, Any]
SAID_BY_ITEMS = frozenset({"reasoning_content", "refusal", "tool_calls", "function_call"})
"""Additional fields that add nothing to our items."""


def request_messages(request: RunRequest) -> list[BaseMessage]:
    """A request as messages: instructions first, then the conversation."""
    notes = [request.instructions]
    rest: list[i.Item] = []
    for item in (*request.history, *request.input):
        if isinstance(item, i.Message) and item.role in ("system", "developer"):
            notes.append(i.text_of(item.content))
        else:
            rest.append(item)
    note = "\n\n".join(filter(None, notes))
    first: list[BaseMessage] = [SystemMessage(note)] if note else []
    return [*first, *_conversation(rest)]


def with_late_inputs(messages: list[BaseMessage], late: Sequence[LateInput]) -> list[BaseMessage]:
    """The messages for a model, with those that came with people's answers."""
    begins = [n for n, message in enumerate(messages) if isinstance(message, AIMessage)]
    human = [(each.replies, [_input_message(item, {}) for item in each.messages]) for each in late]
    return insert_late(messages, begins, human)


def reply_message(items: Sequence[i.Item], *, in_same_run: bool) -> AIMessage:
    """One reply, from its recorded items. `in_same_run`: it is played back to the run that it was made in.

    In a later turn the answer by an output tool is text, not a call.
    """
    text = ""
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    fields: dict[str, Any] = {}
    for item in items:
        fields = {**fields, **(item.details.get(DIALECT) or {})}
        match item:
            case i.Message():
                text += i.text_of(item.content)
            case i.Reasoning():
                thoughts += item.text or item.summary
            case i.ToolCall():
                arguments = _arguments(item.arguments)
                calls.append(ToolCall(name=item.name, args=arguments, id=item.call_id))
            case i.ToolOutput() | i.ProviderItem():
                pass
    if "message" in fields and (in_same_run or not fields.get("answer")):
        return AIMessage.model_validate(fields["message"])
    more = {"reasoning_content": "".join(thoughts)} if thoughts else {}
    return AIMessage(text, tool_calls=calls, additional_kwargs=more, id=fields.get("id"))


def details(message: AIMessage, key: str, *, answer: bool) -> dict[str, i.Json]:
    """The fields of a reply that its items do not have; `answer`: an output tool gave it."""
    fields: dict[str, i.Json] = {"key": key, "id": message.id}
    beside = message.additional_kwargs.keys() - SAID_BY_ITEMS
    if answer or beside or not isinstance(cast("object", message.content), str):
        fields["message"] = message.model_dump(mode="json", exclude={"response_metadata"})
    if answer:
        fields["answer"] = True
    return {DIALECT: fields}


def usage(message: AIMessage, model: str, *, calls: bool) -> t.Usage:
    """The usage of a reply, and the reason why it ended."""
    about = cast("dict[str, Any]", message.response_metadata)
    counts = cast("dict[str, Any]", message.usage_metadata or {})
    into = cast("dict[str, int]", counts.get("input_token_details") or {})
    out = cast("dict[str, int]", counts.get("output_token_details") or {})
    reason = str(about.get("finish_reason") or about.get("stop_reason") or "").lower()
    finish: t.Finish = "tool_calls" if calls else "stop"
    if reason in ("length", "max_tokens"):
        finish = "length"
    elif reason in ("content_filter", "refusal", "safety"):
        finish = "content_filter"
    return t.Usage(
        str(about.get("model_name") or about.get("model") or model),
        input=counts.get("input_tokens", 0),
        cached=into.get("cache_read") or 0,
        cache_write=into.get("cache_creation") or 0,
        output=counts.get("output_tokens", 0),
        reasoning=out.get("reasoning") or 0,
        finish=finish,
        response_id=str(about.get("id") or ""),
    )


def text_of(message: BaseMessage) -> str:
    """A message's text; any other content as JSON."""
    content = cast("object", message.content)
    if isinstance(content, str):
        return content
    if text := str(message.text):
        return text
    return msgspec.json.encode(content, enc_hook=str).decode()


def _conversation(items: Sequence[i.Item]) -> list[BaseMessage]:
    """A conversation as messages; calls without an output get one, which model servers require."""
    names = {item.call_id: item.name for item in items if isinstance(item, i.ToolCall)}
    ids_with_output = {item.call_id for item in items if isinstance(item, i.ToolOutput)}
    messages: list[BaseMessage] = []
    for is_reply, group in groupby(items, _is_reply):
        if not is_reply:
            messages += [_input_message(item, names) for item in group]
            continue
        for reply in _replies(group):
            message = reply_message(reply, in_same_run=False)
            messages.append(message)
            for call in message.tool_calls:
                if call["id"] not in ids_with_output:
                    messages.append(ToolMessage(NO_RESULT, tool_call_id=str(call["id"])))
    return messages


def _is_reply(item: i.Item) -> bool:
    if isinstance(item, i.Message):
        return item.role == "assistant"
    return not isinstance(item, i.ToolOutput)


def _replies(items: Iterable[i.Item]) -> Iterable[list[i.Item]]:
    """Consecutive items, split where one of our replies ends."""
    reply: list[i.Item] = []
    for item in items:
        reply.append(item)
        if DIALECT in item.details:
            yield reply
            reply = []
    if reply:
        yield reply


def _input_message(item: i.Item, names: dict[str, str]) -> BaseMessage:
    match item:
        case i.ToolOutput():
            return ToolMessage(
                _content(item.output),
                tool_call_id=item.call_id,
                name=names.get(item.call_id),
                status="error" if item.is_error else "success",
            )
        case i.Message():
            return HumanMessage(_content(item.content))
        case i.Reasoning() | i.ToolCall() | i.ProviderItem():
            raise AssertionError("replies are distinguished")


def _content(parts: Sequence[i.Part]) -> Any:
    if all(isinstance(part, i.TextPart | i.RefusalPart) for part in parts):
        return i.text_of(tuple(parts))
    return [_block(part) for part in parts]


def _block(part: i.Part) -> Block:
    """A part in LangChain's standard form, which its models translate."""
    match part:
        case i.TextPart():
            return {"type": "text", "text": part.text}
        case i.RefusalPart():
            return {"type": "text", "text": part.refusal}
        case i.ImagePart():
            return _file("image", part.url, part.file_id)
        case i.FilePart():
            filename = {"filename": part.filename} if part.filename else {}
            return {**_file("file", part.data or part.url, part.file_id), **filename}
        case i.AudioPart():
            kind = "mpeg" if part.format == "mp3" else part.format
            return {"type": "audio", "base64": part.data, "mime_type": f"audio/{kind}"}
        case i.ProviderPart():
            word = part.data.get("type")
            raise ModelFailed(f"A LangGraph agent knows no content of type {word!r}.")


def _file(kind: str, url: str, file_id: str) -> Block:
    if url.startswith("data:"):
        head, _, data = url.removeprefix("data:").partition(",")
        return {"type": kind, "base64": data, "mime_type": head.partition(";")[0]}
    return {"type": kind, "url": url} if url else {"type": kind, "file_id": file_id}


def _arguments(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ModelFailed("An earlier call's arguments are not a JSON object.") from None
