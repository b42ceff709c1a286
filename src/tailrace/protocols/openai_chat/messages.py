"""Messages of clients: Chat Completions JSON to canonical items (openai 3.52's `ChatCompletionMessageParam`).

A chat message can be several items (reasoning, text and calls). Fields that have no place in an item are kept
in `details["chat"]`; `history.py` puts them back for servers of this dialect:

- a `Reasoning` keeps the fields of the message that hold the reasoning (`reasoning_content`, …), or in
  `field` the name of the field that its text is sent back in;
- other items keep `message` (the other fields of the message), `shown` (fields of a reply that are shown to
  the client but not sent back, because servers need not accept their own output fields), `parts` (additional
  fields of its parts, by index) and `call` (additional fields of the call and of its `function`).
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.errors import BadRequest
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Item,
    Json,
    Message,
    Part,
    ProviderPart,
    Reasoning,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
    parts_of,
)
from tailrace.protocols.fields import (
    Object,
    any_object,
    as_list,
    as_object,
    body_object,
    nested,
    objects,
    optional,
    text,
)
from tailrace.protocols.openai_chat import thoughts

DIALECT = "chat"
ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")
OPAQUE = ("reasoning_details", "reasoning_content", "reasoning")
"""Fields of an assistant message that only the server that wrote them can interpret."""


_INNER = {
    "text": (),
    "image_url": ("url", "detail"),
    "input_audio": ("data", "format"),
    "file": ("file_id", "file_data", "filename"),
}
"""By the type of a part: the fields of its inner object that the canonical form has."""


def details_of(**groups: Json) -> dict[str, Json]:
    """Returns the `details` of an item or event, which only servers of this dialect can interpret."""
    fields = {name: value for name, value in groups.items() if value not in (None, "", {}, [])}
    return {DIALECT: fields} if fields else {}


def decode_messages(value: Json, where: str = "messages") -> tuple[Item, ...]:
    """Decode the whole `messages` list. Raises `BadRequest` with the path of the fault as `param`."""
    messages = as_list(value, where)
    if not messages:
        raise BadRequest(f"{where} must not be empty.", param=where)
    return tuple(
        item
        for n, message in enumerate(messages)
        for item in _decode(as_object(message, f"{where}[{n}]"), f"{where}[{n}]")
    )


def place(body: bytes, item: Item, part: Part | None) -> str:
    """The path of an item in the request body, or of a part of the item; `""` if the request does not contain
    it."""
    for n, message in enumerate(objects(body_object(body).get("messages"))):
        where = f"messages[{n}]"
        if item in _decode(message, where):
            at = parts_of(item).index(part) if part is not None else None
            within = isinstance(message.get("content"), list)
            return where if at is None else f"{where}.content" + (f"[{at}]" if within else "")
    return ""


def _decode(message: Object, where: str) -> Iterator[Item]:
    role = message.get("role")
    if role == "tool":
        call_id = text(message, "tool_call_id", where)
        output, parts = _content(message.get("content"), where)
        details = details_of(message=_rest(message, "tool_call_id"), parts=parts)
        yield ToolOutput(call_id=call_id, output=output, details=details)
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
    content, parts = _content(message.get("content"), where)
    details = details_of(message=_rest(message, "name"), parts=parts)
    yield Message(role=role, content=content, name=name, details=details)


def _decode_assistant(message: Object, where: str) -> Iterator[Item]:
    """Decode an assistant message to its items; the first item that is not reasoning keeps the other fields
    of the message. The reasoning of servers of other dialects (`thoughts.py`) follows the reasoning that is
    sent back to a chat server."""
    opaque = {name: message[name] for name in OPAQUE if message.get(name) is not None}
    if opaque:
        words = opaque.get("reasoning_content") or opaque.get("reasoning")
        theirs = thoughts.read(opaque.get("reasoning_details"))
        texts = (words,) if isinstance(words, str) and not theirs else ()
        yield Reasoning(text=texts, details={DIALECT: opaque})
        yield from theirs
    content, parts = _content(message.get("content"), where)
    refusal = optional(message, "refusal", str, default="", where=where)
    if refusal:
        content = (*content, RefusalPart(refusal))
    name = optional(message, "name", str, default="", where=where)
    rest = _rest(message, "name", "refusal", "tool_calls", *OPAQUE)
    calls = message.get("tool_calls")
    if content or not calls:  # an empty message also counts
        details = details_of(message=rest, parts=parts)
        yield Message(role="assistant", content=content, name=name, details=details)
        rest = {}
    if calls is None:
        return
    for n, value in enumerate(as_list(calls, f"{where}.tool_calls")):
        yield _decode_call(value, f"{where}.tool_calls[{n}]", rest)
        rest = {}


def _decode_call(value: Json, where: str, rest: Object) -> ToolCall:
    call = as_object(value, where)
    custom = call.get("type") == "custom"
    kind, field = ("custom", "input") if custom else ("function", "arguments")
    body = nested(call, kind)
    own = {
        k: v for k, v in call.items() if k not in ("id", "type", kind, "index") and v is not None
    }
    if inner := {k: v for k, v in body.items() if k not in ("name", field) and v is not None}:
        own[kind] = inner
    return ToolCall(
        call_id=text(call, "id", where),
        name=text(body, "name", f"{where}.{kind}"),
        arguments=text(body, field, f"{where}.{kind}"),
        custom=custom,
        details=details_of(call=own, message=rest),
    )


def _rest(message: Object, *names: str) -> Object:
    """The fields of a message other than `role`, `content` and `names`."""
    fields = ("role", "content", *names)
    return {k: v for k, v in message.items() if k not in fields and v is not None}


def _content(value: Json, where: str) -> tuple[tuple[Part, ...], Object]:
    """The parts of a message, and by their index the additional fields of each."""
    if value is None:
        return (), {}
    if isinstance(value, str):
        return (TextPart(value),), {}
    place = f"{where}.content"
    if not isinstance(value, list):
        raise BadRequest(f"{place} must be a string or a list of parts.", param=place)
    objects = [as_object(part, f"{place}[{n}]") for n, part in enumerate(as_list(value, place))]
    parts = tuple(_decode_part(part, f"{place}[{n}]") for n, part in enumerate(objects))
    rest = {
        str(n): own
        for n, part in enumerate(parts)
        if not isinstance(part, ProviderPart) and (own := _more(objects[n]))
    }
    return parts, rest


def _more(part: Object) -> Object:
    """The additional fields of a part. A refusal is kept whole, because an assistant message can also have a
    `refusal` field."""
    kind: str = part["type"]
    if kind == "refusal":
        return part
    inner = {k: v for k, v in any_object(part.get(kind)).items() if k not in _INNER[kind]}
    rest = {k: v for k, v in part.items() if k not in ("type", kind)}
    return {**rest, kind: inner} if inner else rest


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
        case str():
            return ProviderPart(dialect=DIALECT, data=part)
        case _:
            raise BadRequest(f"{where} needs a type.", param=f"{where}.type")
