"""Converts a conversation to the `messages` of a chat server.

Consecutive items of the assistant become one message. Strict servers reject a conversation that breaks one of
the following rules, so the encoder enforces them, whatever the client or the model sent:

- The results of a message's calls follow it directly, in the order of the calls; items between them are moved
  after the results. A text after a call joins the message of the call.
- A call without a result gets one that says so; a result without a call becomes a user message.
- The arguments of a call are a JSON object: empty arguments become `{}`, and any other value is put into an
  object, under the key `arguments`.
- A result is text; its pictures and files follow in a user message.
- `Rules` decide whether system messages stay in place, and which role they have.
- An item without a form in this dialect (a picture by file id, a file by URL) is rejected, and the error
  names it.

Items from a client or server of this dialect are sent back with all their fields (`messages.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never, cast

import msgspec

from tailrace.errors import NoForm
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
    TextPart,
    ToolCall,
    ToolOutput,
    text_of,
)
from tailrace.protocols import foreign
from tailrace.protocols.fields import Object, any_object, without_empty
from tailrace.protocols.offered import Names
from tailrace.protocols.openai_chat.messages import DIALECT
from tailrace.protocols.openai_chat.rules import OPENAI, Rules
from tailrace.protocols.openai_chat.tools import no_form

NO_RESULT = "There is no result of this call."
SHOWN_NEXT = "The result is in the next message."
SEPARATOR = "\n\n"
"""Separates the texts that are joined to one system message."""

SAYS_MORE = ("tool_calls", "refusal", "audio", "images")
"""If one of these fields is set, an assistant's content may be null."""

_RESULT_PARTS = (TextPart, RefusalPart, ProviderPart)
"""Parts that the tool message itself contains; all others follow in a user message."""

_json = msgspec.json.Encoder().encode


class _AssistantTurn:
    """One message; an assistant's message also has the results of its calls and their attachments."""

    def __init__(self, message: Object) -> None:
        self.message = message
        self.calls: list[str] = []
        self.results: dict[int, Object] = {}
        self.attachments: list[Object] = []
        self.thoughts: list[Object] = []

    def messages(self) -> list[Object]:
        """Returns the message, a result for each of its calls, and a user message with the pictures and files
        of these results."""
        messages = [self._whole()]
        for place, id in enumerate(self.calls):
            missing = {"role": "tool", "tool_call_id": id, "content": NO_RESULT}
            messages.append(self.results.get(place, missing))
        return (
            [*messages, {"role": "user", "content": self.attachments}]
            if self.attachments
            else messages
        )

    def _whole(self) -> Object:
        message, content = self.message, self.message.get("content")
        if self.thoughts:
            text = (
                [{"type": "text", "text": content}] if isinstance(content, str) else content or []
            )
            message["content"] = [*self.thoughts, *text]
        elif content is None and not any(message.get(field) for field in SAYS_MORE):
            message["content"] = ""
        return message


def encode_messages(
    items: Sequence[Item],
    instructions: str,
    rules: Rules = OPENAI,
    origin: str = DIALECT,
    names: Names | None = None,
) -> list[Object]:
    """Encode items as messages for a chat server; the instructions become the first system message. `origin`
    is the dialect of the client's request, `names` are the names of the tools. Raises `NoForm` for an item
    that has no form in this dialect."""
    conversation = _Conversation(names or Names((), DIALECT, origin), rules, origin)
    if instructions:
        conversation.system("system", (TextPart(instructions),), {})
    for item in items:
        try:
            conversation.add_item(item)
        except NoForm as refusal:
            raise refusal.about(item=item) from None
    return conversation.messages()


class _Conversation:
    def __init__(self, names: Names, rules: Rules, origin: str) -> None:
        self._names = names
        self._rules = rules
        self._origin = origin
        self._param = foreign.LISTS.get(origin, "messages")
        self._foreign = origin == "messages"
        """Whether file ids belong to another provider."""
        self._turns: list[_AssistantTurn] = []
        self._first: list[Object] = []
        """The system messages that are joined to one at the beginning."""

    def messages(self) -> list[Object]:
        """The whole conversation; the system message comes first if `Rules.system_first` is set."""
        messages = [message for turn in self._turns for message in turn.messages()]
        return [_one_message(self._first), *messages] if self._first else messages

    def add_item(self, item: Item) -> None:
        """Add the next item. Raises `NoForm`."""
        own = any_object(item.details.get(DIALECT))
        match item:
            case Message(role="assistant"):
                self._add_message(item, own)
            case Message(role="user"):
                self._turns.append(
                    _AssistantTurn(self._message("user", item.content, item.name, own))
                )
            case Message():
                self.system(item.role, item.content, own, item.name)
            case Reasoning():
                self._add_reasoning(item, own)
            case ToolCall():
                self._add_call(item, own)
            case ToolOutput():
                self._add_result(item, own)
            case ProviderItem():
                for each in foreign.as_function(item, DIALECT, self._origin, self._names):
                    self.add_item(each)
            case _:
                assert_never(item)

    def system(self, role: str, parts: tuple[Part, ...], own: Object, name: str = "") -> None:
        """Add a system or developer message."""
        to = "system" if role == "system" else self._rules.developer_role
        message = self._message(to, parts, name, own)
        if self._rules.system_first:
            self._first.append(message)
        else:
            self._turns.append(_AssistantTurn(message))

    def _message(self, role: str, parts: tuple[Part, ...], name: str, own: Object) -> Object:
        content = self._content(list(enumerate(parts)), any_object(own.get("parts")))
        message = {"role": role, "content": content, **without_empty({"name": name})}
        return {**message, **any_object(own.get("message"))}

    def _add_message(self, item: Message, own: Object) -> None:
        parts = any_object(own.get("parts"))
        kept_parts = [(n, p) for n, p in enumerate(item.content) if self._is_content(n, p, parts)]
        refusals = [p.refusal for p in item.content if isinstance(p, RefusalPart)]
        refusal = (
            "".join(refusals) if not any(isinstance(p, RefusalPart) for _, p in kept_parts) else ""
        )
        content = self._content(kept_parts, parts) if kept_parts else None if refusal else ""
        if not kept_parts and not refusal and own.get("message"):
            content = None  # the message has a picture or sound instead
        turn = self._assistant(after_text=content is None)
        if content is not None:
            turn.message["content"] = _both(turn.message.get("content"), content)
        turn.message |= without_empty({"refusal": refusal, "name": item.name})
        _add(turn.message, any_object(own.get("message")))

    def _is_content(self, n: int, part: Part, own: Object) -> bool:
        """Whether a part of an assistant's message belongs to its `content`."""
        match part:
            case TextPart() | ProviderPart():
                return True
            case RefusalPart():
                return str(n) in own  # a Chat client sent it as a part; else it is a field
            case _:
                return self._origin == DIALECT

    def _add_reasoning(self, item: Reasoning, own: Object) -> None:
        """Add the reasoning of a server of this dialect; any other reasoning is left out."""
        if not own:
            return
        turn = self._assistant(after_text=False)
        fields = {name: value for name, value in own.items() if name != "field"}
        field, text = own.get("field"), "".join(item.text)
        if field == "thinking":
            turn.thoughts.append({"type": field, field: [{"type": "text", "text": text}]})
        elif isinstance(field, str):
            fields = {field: text, **fields}
        _add(turn.message, fields)

    def _add_call(self, item: ToolCall, own: Object) -> None:
        turn = self._assistant(after_text=True)
        turn.calls.append(item.call_id)
        turn.message.setdefault("tool_calls", []).append(self._encode_call(item, own))
        _add(turn.message, any_object(own.get("message")))

    def _encode_call(self, item: ToolCall, own: Object) -> Object:
        more = any_object(own.get("call"))
        kind, field, text = "function", "arguments", _arguments(item.arguments)
        if item.custom and self._rules.custom_tools == "custom":
            kind, field, text = "custom", "input", item.arguments
        elif item.custom:
            text = _json({"input": item.arguments}).decode()
        body = {"name": self._names.of_call(item), field: text, **any_object(more.get(kind))}
        rest = {k: v for k, v in more.items() if k not in ("function", "custom")}
        return {"id": item.call_id, "type": kind, kind: body, **rest}

    def _add_result(self, item: ToolOutput, own: Object) -> None:
        turn, place = self._find_open_call(item.call_id)
        parts = any_object(own.get("parts"))
        parts_by_number = list(enumerate(item.output))
        texts = [each for each in parts_by_number if isinstance(each[1], _RESULT_PARTS)]
        attachments = [
            self._part(part) for part in item.output if not isinstance(part, _RESULT_PARTS)
        ]
        if turn is None:
            label = TextPart(f"Result of the call {item.call_id}: ")
            self._turns.append(_AssistantTurn(self._message("user", (label, *item.output), "", {})))
            return
        content = self._content(texts, parts) if texts or not attachments else SHOWN_NEXT
        result = {"role": "tool", "tool_call_id": item.call_id, "content": content}
        turn.results[place] = {**result, **any_object(own.get("message"))}
        if attachments:
            label_of_attachments = f"Of the result of the call {item.call_id}:"
            turn.attachments += [{"type": "text", "text": label_of_attachments}, *attachments]

    def _find_open_call(self, id: str) -> tuple[_AssistantTurn | None, int]:
        """The last message with a call of this id that has no result yet, and the index of the call in it."""
        for turn in reversed(self._turns):
            for place, call in enumerate(turn.calls):
                if call == id and place not in turn.results:
                    return turn, place
        return None, 0

    def _assistant(self, *, after_text: bool) -> _AssistantTurn:
        """The assistant message that an item joins: the last message if none of its calls has a result yet,
        otherwise a new one. If the last message has text and no calls, only an item with `after_text` joins
        it, so that the order is preserved."""
        last = self._turns[-1] if self._turns else None
        if last is not None and last.message["role"] == "assistant" and not last.results:
            silent = last.message.get("content") is None
            if last.calls or after_text or silent:
                return last
        self._turns.append(_AssistantTurn({"role": "assistant", "content": None}))
        return self._turns[-1]

    def _content(self, parts: Sequence[tuple[int, Part]], own: Object) -> Json:
        """The content of a message: a plain string if there is only text, because every chat server accepts
        that. A refusal counts as text, except in an assistant message, where it is a field."""
        if not own and all(isinstance(part, TextPart | RefusalPart) for _, part in parts):
            return text_of(tuple(part for _, part in parts))
        return [self._with(part, any_object(own.get(str(n)))) for n, part in parts]

    def _with(self, part: Part, own: Object) -> Object:
        """Encode a part together with the additional fields that a Chat client sent in it; `own` replaces the
        part if it has a `type`."""
        if "type" in own:
            return own
        encoded_part = self._part(part)
        for name, more in own.items():
            inner = any_object(more) if isinstance(more, dict) else {}
            encoded_part[name] = {**any_object(encoded_part.get(name)), **inner} if inner else more
        return encoded_part

    def _part(self, part: Part) -> Object:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text}
            case RefusalPart():
                return {"type": "text", "text": part.refusal}
            case ImagePart():
                if not part.url:
                    raise self._refusal("picture by the id of a file", part)
                image = {"url": part.url, **without_empty({"detail": part.detail})}
                return {"type": "image_url", "image_url": image}
            case FilePart():
                return {"type": "file", "file": self._file(part)}
            case AudioPart():
                audio = {"data": part.data, "format": part.format}
                return {"type": "input_audio", "input_audio": audio}
            case ProviderPart():
                if part.dialect != DIALECT:
                    raise foreign.unknown(DIALECT, part.data, self._param, part=part)
                return dict(part.data)
            case _:
                assert_never(part)

    def _file(self, part: FilePart) -> Object:
        if not part.data and part.url:
            raise self._refusal("file by its address; send its data", part)
        if not part.data and (not part.file_id or self._foreign):
            raise self._refusal("file by the id that another provider has for it", part)
        return without_empty(
            {"file_id": part.file_id, "file_data": part.data, "filename": part.filename}
        )

    def _refusal(self, what: str, part: Part) -> NoForm:
        return no_form(f"takes no {what}", self._param, part)


def _arguments(text: str) -> str:
    """The arguments of a call as the JSON text of an object."""
    try:
        value: Json = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = text
    if isinstance(value, dict):
        return text or "{}"
    return "{}" if value is None or not text.strip() else _json({"arguments": text}).decode()


def _one_message(messages: Sequence[Object]) -> Object:
    """Join system messages to one: their texts if all are texts, otherwise all their parts."""
    contents = [message["content"] for message in messages if message["content"]]
    content: Json = SEPARATOR.join(text for text in contents if isinstance(text, str))
    if any(isinstance(each, list) for each in contents):
        content = [part for each in contents for part in _parts(each)]
    return {**{k: v for message in messages for k, v in message.items()}, "content": content}


def _parts(content: Json) -> list[Json]:
    if isinstance(content, list):
        return cast("list[Json]", content)
    return [{"type": "text", "text": content}]


def _both(before: Json, after: Json) -> Json:
    """Append content to the content that a message already has."""
    if before is None:
        return after
    if isinstance(before, str) and isinstance(after, str):
        return before + after
    return [*_parts(before), *_parts(after)]


def _add(message: Object, fields: Object) -> None:
    """Add the fields of another item to the same message: texts and lists are appended, other values are
    replaced."""
    for name, value in fields.items():
        before: Json = message.get(name)
        if isinstance(before, str) and isinstance(value, str):
            message[name] = before + value
        elif isinstance(before, list) and isinstance(value, list):
            message[name] = [*before, *value]
        else:
            message[name] = value
