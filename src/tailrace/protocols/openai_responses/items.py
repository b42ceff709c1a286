"""Conversation items: Responses JSON ⇄ canonical.

Mirrors `ResponseInputItemParam` of openai 3.52. Decoding is as lenient as OpenAI is (a bare `{role, content}`
is a message); an error names the path of the fault. An item that only a Responses server can interpret
becomes a `ProviderItem` and is sent back unchanged.

The rule: an item that was sent in this dialect is encoded with exactly the fields that it had (a bare message
gets its `type`, an id that tailrace generated is left out). Fields that the canonical item does not have are
kept in `details["responses"]` (`item_details.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

import msgspec

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
    ProviderPart,
    Reasoning,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.events.tools import BRINGS
from tailrace.protocols import sealed
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    optional,
    text,
    without_empty,
)
from tailrace.protocols.offered import Names
from tailrace.protocols.openai_responses import item_details
from tailrace.protocols.upstream import NO_ARGUMENTS

DIALECT = "responses"
CLIENTS_OWN = (*BRINGS, "agent_message")
"""Types of items that only clients send, besides outputs of calls."""
ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")


def decode_input(value: Json, where: str = "input") -> tuple[Item, ...]:
    """Decode a whole `input`: a string is one user message. References are not allowed here. Raises
    `BadRequest`."""
    if isinstance(value, str):
        return (Message(role="user", content=(TextPart(value),)),)
    if not isinstance(value, list):
        raise BadRequest(f"{where} must be a string or a list of items.", param=where)
    return sealed.unseal(
        decode_item(item, f"{where}[{n}]") for n, item in enumerate(as_list(value, where))
    )


def decode_item(value: Json, where: str) -> Item:
    """Decode one input item. An item that tailrace sealed (`sealed.py`) becomes the reasoning of the original
    server, or the data that belongs to a call. Raises `BadRequest` with the path of the fault as `param`."""
    item = as_object(value, where)
    kind = item.get("type")
    if kind is None and "role" in item:
        kind, item = "message", {**item, "type": "message"}
    if not isinstance(kind, str):
        raise BadRequest(f"{where} needs a type.", param=f"{where}.type")
    decoder = _DECODERS.get(kind)
    if decoder is None or (kind == "function_call_output" and item.get("call_id") is None):
        # Only this dialect has outputs without a call id.
        theirs = kind.endswith("_output") or kind in CLIENTS_OWN
        return ProviderItem(dialect=DIALECT, data=item, role="user" if theirs else "assistant")
    canonical = decoder(item, where)
    if isinstance(canonical, Reasoning):
        foreign = sealed.open_reasoning(item.get("encrypted_content"), canonical)
        if foreign is not None:
            return foreign
    details = item_details.details_of(item, _plain(canonical, own=True))
    return msgspec.structs.replace(canonical, details={DIALECT: details})


def encode_items(
    items: Iterable[Item], names: Names | None = None, *, for_client: bool = False
) -> list[Object]:
    """Encode items as input for a Responses server, without ids that tailrace generated; calls have the
    `names` of their tools.

    The output of a custom tool has a type of its own, which follows from its call. `for_client`: encode items
    for lists, with every field that the SDKs' types require.
    """
    objects: list[Object] = []
    custom: set[str] = set()
    for item in items:
        if names is not None and isinstance(item, ToolCall):
            item = msgspec.structs.replace(item, name=_known_as(item, names))
        value = encode_item(item, for_client=for_client)
        if isinstance(item, ToolCall) and item.custom:
            custom.add(item.call_id)
        elif isinstance(item, ToolOutput) and item.call_id in custom:
            value["type"] = "custom_tool_call_output"
        objects.append(value)
    return objects


def _known_as(call: ToolCall, names: Names) -> str:
    """The name of a call's tool. In this dialect a namespace is a separate field, so the name does not
    contain it."""
    return (
        call.name if "namespace" in any_object(call.details.get(DIALECT)) else names.of_call(call)
    )


def encode_item(item: Item, *, for_client: bool = False) -> Object:
    """Encode one item by itself, without its conversation."""
    own: Object | None = item.details.get(DIALECT)
    plain = _plain(item, own=own is not None and not for_client)
    if own is None and not for_client and isinstance(item, ToolCall) and not item.arguments:
        plain |= {} if item.custom else {"arguments": NO_ARGUMENTS}  # servers parse it as JSON
    if for_client and isinstance(item, Message):  # content in lists is always a list of parts
        own = {name: value for name, value in (own or {}).items() if name != item_details.FORM}
    return item_details.restore(plain, own or {})


def _plain(item: Item, *, own: bool) -> Object:
    """Encode the canonical item; `own` leaves out fields that the original item did not have."""
    match item:
        case Message():
            return _encode_message(item, own=own)
        case Reasoning():
            return _encode_reasoning(item)
        case ToolCall():
            form = ("custom_tool_call", "input") if item.custom else ("function_call", "arguments")
            return {
                "type": form[0],
                "call_id": item.call_id,
                "name": item.name,
                form[1]: item.arguments,
            }
        case ToolOutput():
            parts = [_encode_part(part, "input_text", own=own) for part in item.output]
            plain = len(parts) == 1 and isinstance(item.output[0], TextPart)
            output = parts[0]["text"] if plain else parts if parts or own else ""
            return {"type": "function_call_output", "call_id": item.call_id, "output": output}
        case ProviderItem():
            return dict(item.data)
        case _:
            assert_never(item)


def _decode_message(item: Object, where: str) -> Item:
    role = item.get("role")
    if role not in ROLES:
        raise BadRequest(
            f"{where}.role must be one of {', '.join(ROLES)}, not {role!r}.", param=f"{where}.role"
        )
    content = decode_content(item.get("content"), f"{where}.content")
    phase = item.get("phase")
    return Message(role=role, content=content, phase=phase if isinstance(phase, str) else "")


def decode_content(value: Json, where: str) -> tuple[Part, ...]:
    """Decode the content of a message, or the output of a tool: a string or a list of parts."""
    if isinstance(value, str):
        return (TextPart(value),)
    if not isinstance(value, list):
        raise BadRequest(f"{where} must be a string or a list of parts.", param=where)
    return tuple(
        _decode_part(part, f"{where}[{n}]") for n, part in enumerate(as_list(value, where))
    )


def _decode_part(value: Json, where: str) -> Part:
    part = as_object(value, where)
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            annotations = as_list(part.get("annotations") or [], f"{where}.annotations")
            return TextPart(text(part, "text", where), tuple(annotations))
        case "refusal":
            return RefusalPart(text(part, "refusal", where))
        case "input_image":
            return ImagePart(
                url=optional(part, "image_url", str, default="", where=where),
                file_id=optional(part, "file_id", str, default="", where=where),
                detail=optional(part, "detail", str, default="", where=where),
            )
        case "input_file":
            return FilePart(
                file_id=optional(part, "file_id", str, default="", where=where),
                url=optional(part, "file_url", str, default="", where=where),
                data=optional(part, "file_data", str, default="", where=where),
                filename=optional(part, "filename", str, default="", where=where),
            )
        case "input_audio":
            audio = as_object(part.get("input_audio"), f"{where}.input_audio")
            return AudioPart(text(audio, "data", where), text(audio, "format", where))
        case str():
            return ProviderPart(dialect=DIALECT, data=part)
        case _:
            raise BadRequest(f"{where} needs a type.", param=f"{where}.type")


def _decode_reasoning(item: Object, where: str) -> Item:
    return Reasoning(
        summary=_texts(item.get("summary"), f"{where}.summary"),
        text=_texts(item.get("content"), f"{where}.content"),
    )


def _decode_call(item: Object, where: str) -> Item:
    custom = item["type"] == "custom_tool_call"
    return ToolCall(
        call_id=text(item, "call_id", where),
        name=text(item, "name", where),
        arguments=text(item, "input" if custom else "arguments", where),
        custom=custom,
    )


def _decode_output(item: Object, where: str) -> Item:
    return ToolOutput(
        call_id=text(item, "call_id", where),
        output=decode_content(item.get("output"), f"{where}.output"),
    )


_DECODERS: Mapping[str, Callable[[Object, str], Item]] = {
    "message": _decode_message,
    "reasoning": _decode_reasoning,
    "function_call": _decode_call,
    "custom_tool_call": _decode_call,
    "function_call_output": _decode_output,
    "custom_tool_call_output": _decode_output,
}


def _encode_message(item: Message, *, own: bool) -> Object:
    kind = "output_text" if item.role == "assistant" else "input_text"
    content = [_encode_part(part, kind, own=own) for part in item.content]
    message: Object = {"type": "message", "role": item.role, "content": content}
    if item.phase:
        message["phase"] = item.phase
    return message


def _encode_part(part: Part, kind: str, *, own: bool) -> Object:
    match part:
        case TextPart():
            if kind == "output_text" and (part.annotations or not own):
                return {"type": kind, "text": part.text, "annotations": list(part.annotations)}
            return {"type": kind, "text": part.text}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.refusal}
        case ImagePart():
            detail = part.detail or ("" if own else "auto")
            form = {"detail": detail, "image_url": part.url, "file_id": part.file_id}
            return {"type": "input_image", **without_empty(form)}
        case FilePart():
            form = {
                "file_id": part.file_id,
                "file_url": part.url,
                "file_data": part.data,
                "filename": part.filename,
            }
            return {"type": "input_file", **without_empty(form)}
        case AudioPart():
            audio = {"data": part.data, "format": part.format}
            return {"type": "input_audio", "input_audio": audio}
        case ProviderPart():
            return dict(part.data)
        case _:
            assert_never(part)


def _encode_reasoning(item: Reasoning) -> Object:
    reasoning: Object = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": piece} for piece in item.summary],
    }
    if item.text:
        reasoning["content"] = [{"type": "reasoning_text", "text": piece} for piece in item.text]
    return reasoning


def _texts(value: Json, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(
        text(as_object(part, f"{where}[{n}]"), "text", f"{where}[{n}]")
        for n, part in enumerate(as_list(value, where))
    )
