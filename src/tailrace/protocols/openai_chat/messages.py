"""Messages: Chat Completions JSON ⇄ canonical items (openai 3.52's `ChatCompletionMessageParam`).

A chat message can be several items (text and calls), and several items one message: decoding splits,
encoding groups what the assistant said in a row. `details["chat"]` holds what some servers add to an
assistant message (`reasoning_content`, `reasoning_details`) and want back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from tailrace.errors import BadRequest
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderItem,
    Reasoning,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.protocols.fields import Object, as_list, as_object, given, nested, optional, text

DIALECT = "chat"
ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")
OPAQUE = ("reasoning_details", "reasoning_content", "reasoning")
"""Fields of an assistant message that only the server that wrote them understands."""


def decode_messages(value: Json, where: str = "messages") -> tuple[Item, ...]:
    """The whole `messages` list. Raises `BadRequest` with the place as `param`."""
    messages = as_list(value, where)
    if not messages:
        raise BadRequest(f"{where} must not be empty.", param=where)
    return tuple(
        item
        for n, message in enumerate(messages)
        for item in _decode(as_object(message, f"{where}[{n}]"), f"{where}[{n}]")
    )


def _decode(message: Object, where: str) -> Iterator[Item]:
    role = message.get("role")
    if role == "tool":
        call_id = text(message, "tool_call_id", where)
        yield ToolOutput(call_id=call_id, output=_content(message.get("content"), where))
        return
    if role not in ROLES:
        raise BadRequest(
            f"{where}.role must be one of {', '.join(ROLES)}, tool; not {role!r}.",
            param=f"{where}.role",
        )
    if role == "assistant":
        yield from _decode_assistant(message, where)
        return
    name = optional(message, "name", str, default="", where=where)
    yield Message(role=role, content=_content(message.get("content"), where), name=name)


def _decode_assistant(message: Object, where: str) -> Iterator[Item]:
    opaque = given({name: message.get(name) for name in OPAQUE})
    if opaque:
        words = opaque.get("reasoning_content") or opaque.get("reasoning")
        said = (words,) if isinstance(words, str) else ()
        yield Reasoning(text=said, details={DIALECT: opaque})
    content = message.get("content")
    parts = () if content is None else _content(content, where)
    refusal = optional(message, "refusal", str, default="", where=where)
    if refusal:
        parts = (*parts, RefusalPart(refusal))
    if parts:
        yield Message(role="assistant", content=parts)
    if message.get("tool_calls") is None:
        return
    for n, value in enumerate(as_list(message["tool_calls"], f"{where}.tool_calls")):
        yield _decode_call(value, f"{where}.tool_calls[{n}]")


def _decode_call(value: Json, where: str) -> ToolCall:
    call = as_object(value, where)
    custom = call.get("type") == "custom"
    kind = "custom" if custom else "function"
    body = nested(call, kind)
    return ToolCall(
        call_id=text(call, "id", where),
        name=text(body, "name", f"{where}.{kind}"),
        arguments=text(body, "input" if custom else "arguments", f"{where}.{kind}"),
        custom=custom,
    )


def _content(value: Json, where: str) -> tuple[Part, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    place = f"{where}.content"
    if not isinstance(value, list):
        raise BadRequest(f"{place} must be a string or a list of parts.", param=place)
    return tuple(
        _decode_part(as_object(part, f"{place}[{n}]"), f"{place}[{n}]")
        for n, part in enumerate(as_list(value, place))
    )


def _decode_part(part: Object, where: str) -> Part:
    match part.get("type"):
        case "text":
            return TextPart(text(part, "text", where))
        case "refusal":
            return RefusalPart(text(part, "refusal", where))
        case "image_url":
            image = nested(part, "image_url")
            place = f"{where}.image_url"
            detail = optional(image, "detail", str, default="", where=place)
            return ImagePart(url=text(image, "url", place), detail=detail)
        case "input_audio":
            audio = nested(part, "input_audio")
            place = f"{where}.input_audio"
            return AudioPart(text(audio, "data", place), text(audio, "format", place))
        case "file":
            file = nested(part, "file")
            place = f"{where}.file"
            return FilePart(
                file_id=optional(file, "file_id", str, default="", where=place),
                data=optional(file, "file_data", str, default="", where=place),
                filename=optional(file, "filename", str, default="", where=place),
            )
        case other:
            raise BadRequest(f"{where} has an unknown type {other!r}.", param=f"{where}.type")


def encode_messages(items: Sequence[Item], instructions: str) -> list[Object]:
    """Items as messages for a chat server, instructions first as a system message."""
    messages: list[Object] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    for item in items:
        match item:
            case Message(role="assistant"):
                _assistant(messages, text=True).update(_spoken(item))
            case Message():
                messages.append(_encode_message(item))
            case Reasoning():
                if opaque := item.details.get(DIALECT):
                    _assistant(messages, text=False).update(opaque)
            case ToolCall():
                calls = _assistant(messages, text=False).setdefault("tool_calls", [])
                calls.append(_encode_call(item))
            case ToolOutput():
                messages.append(_encode_output(item))
            case ProviderItem():
                pass  # an item of another dialect's server: no chat server knows it
            case _:
                assert_never(item)
    return messages


def _assistant(messages: list[Object], *, text: bool) -> Object:
    """The assistant message that is being built: the last one, or a new one.

    Text after text or after calls begins a new message, so that nothing changes its order.
    """
    last = messages[-1] if messages else {}
    taken = "tool_calls" in last or last.get("content") is not None
    if last.get("role") != "assistant" or (text and taken):
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _spoken(item: Message) -> Object:
    words = "".join(part.text for part in item.content if isinstance(part, TextPart))
    refusal = "".join(part.refusal for part in item.content if isinstance(part, RefusalPart))
    return {"content": words if words or not refusal else None, **given({"refusal": refusal})}


def _encode_message(item: Message) -> Object:
    encoded: Object = {"role": item.role, "content": _encode_content(item.content)}
    return {**encoded, **given({"name": item.name})}


def _encode_output(item: ToolOutput) -> Object:
    return {
        "role": "tool",
        "tool_call_id": item.call_id,
        "content": _encode_content(item.output),
    }


def _encode_content(parts: Sequence[Part]) -> Json:
    """A plain string where it is only text, as every chat server takes it."""
    if all(isinstance(part, TextPart) for part in parts):
        return "".join(part.text for part in parts if isinstance(part, TextPart))
    return [_encode_part(part) for part in parts]


def _encode_part(part: Part) -> Object:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.refusal}
        case ImagePart():
            image = {"url": part.url, **given({"detail": part.detail})}
            return {"type": "image_url", "image_url": image}
        case FilePart():
            file = given(
                {"file_id": part.file_id, "file_data": part.data, "filename": part.filename}
            )
            return {"type": "file", "file": file}
        case AudioPart():
            audio = {"data": part.data, "format": part.format}
            return {"type": "input_audio", "input_audio": audio}
        case _:
            assert_never(part)


def _encode_call(item: ToolCall) -> Object:
    if item.custom:
        body = {"name": item.name, "input": item.arguments}
        return {"id": item.call_id, "type": "custom", "custom": body}
    body = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": body}
