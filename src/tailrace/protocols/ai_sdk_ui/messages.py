"""UI messages as items: a client's messages in the form that a model reads (`UIMessage` of ai 5 to 7).

Parts for a screen only are omitted; a part of an unknown type is an error that names it. Output of
subagents (between `data-subagent` and `data-subagent-end`) is omitted: the main agent gets their result as
the output of the call that dispatched them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.history import NOT_RUN
from tailrace.events.items import (
    Item,
    Json,
    Message,
    Part,
    Reasoning,
    Role,
    TextPart,
    ToolCall,
    ToolOutput,
)
from tailrace.protocols import media
from tailrace.protocols.ai_sdk_ui import wire
from tailrace.protocols.decisions import CallDecision, decode_decision
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    nested,
    objects,
    optional,
    text,
)

ROLES: tuple[Role, ...] = ("system", "user", "assistant")
NOT_TOLD = frozenset(
    {"step-start", "source-url", "source-document", "reasoning-file", "custom", "file"}
)
"""Parts of an assistant's message that no model reads."""
BELOW = {"data-subagent": True, "data-subagent-end": False}
"""Parts that say whether the following ones belong to a subagent."""
APPROVAL_KEYS = ("id", "isAutomatic", "signature")
"""Keys of `approval` in a tool's part (ai 7) besides the decision; the last two describe the request."""
DENIAL = "The user refused this call."
_OPEN_STATES = ("input-available", "approval-requested", "approval-responded")
_RESULT_STATES = ("output-available", "output-error", "output-denied")


class PartResult(Struct, frozen=True):
    """An answer in a message: a decision about a call by the approval's id, the output of a call (`text`) by
    the call's id, or its failure (`failed`); `where` is its place."""

    id: str
    where: str
    decision: CallDecision | None = None
    text: str = ""
    failed: bool = False


class ShownCall(Struct, frozen=True):
    """The input of a call in the client's message, and its position `where`."""

    input: Json
    where: str


class DecodedMessage(Struct, frozen=True):
    """One message: its items in order, the number of outputs of the client at its end, its answers, and the
    inputs of its calls by their ids."""

    role: Role
    id: str
    items: tuple[Item, ...]
    outputs: int = 0
    results: tuple[PartResult, ...] = ()
    calls: Mapping[str, ShownCall] = {}


def decode_messages(value: Json, where: str = "messages") -> list[DecodedMessage]:
    """The client's whole list. Raises `BadRequest` with the position as `param`."""
    messages = as_list(value, where)
    if not messages:
        raise BadRequest(f"{where} must not be empty.", param=where)
    return [
        decode_message(as_object(message, f"{where}[{n}]"), f"{where}[{n}]")
        for n, message in enumerate(messages)
    ]


def place(body: bytes, item: Item, part: Part | None) -> str:
    """The position in a request of a part of a user's message; `""` for any other content, because items
    that are refused as a whole do not exist on this surface."""
    fields = body_object(body)
    places = [(f"messages[{n}]", m) for n, m in enumerate(objects(fields.get("messages")))]
    for where, message in [*places, *(("message", m) for m in objects(fields.get("message")))]:
        if isinstance(item, Message) and message.get("role") == item.role:
            for n, entry in enumerate(objects(message.get("parts"))):
                at = f"{where}.parts[{n}]"
                if part is not None and _user_part(entry, at) == part:
                    return at
    return ""


def decode_message(message: Object, where: str) -> DecodedMessage:
    """One message; one of version 4 may have a string as `content`."""
    role = message.get("role")
    if role not in ROLES:
        raise BadRequest(
            f"{where}.role must be one of {', '.join(ROLES)}, not {role!r}.", param=f"{where}.role"
        )
    id = optional(message, "id", str, default="", where=where)
    if message.get("parts") is None and isinstance(message.get("content"), str):
        parts: list[Object] = [{"type": "text", "text": message["content"]}]
    else:
        entries = as_list(message.get("parts"), f"{where}.parts")
        parts = [as_object(part, f"{where}.parts[{n}]") for n, part in enumerate(entries)]
    if role == "assistant":
        decoder = _Assistant()
        for n, part in enumerate(parts):
            decoder.take(part, f"{where}.parts[{n}]")
        return decoder.message(id)
    content = [_user_part(part, f"{where}.parts[{n}]") for n, part in enumerate(parts)]
    content_parts = tuple(part for part in content if part is not None)
    return DecodedMessage(
        role, id, (Message(role=role, content=content_parts),) if content_parts else ()
    )


def _kind(part: Object, where: str) -> str:
    kind = part.get("type")
    if not isinstance(kind, str):
        raise BadRequest(f"{where}.type must be a string.", param=f"{where}.type")
    return kind


def _unknown(kind: str, where: str) -> BadRequest:
    return BadRequest(f"{where} has an unknown type {kind!r}.", param=f"{where}.type")


def _user_part(part: Object, where: str) -> Part | None:
    kind = _kind(part, where)
    if kind == "text":
        return TextPart(text(part, "text", where))
    if kind == "file":
        return _file(part, where)
    if kind.startswith("data-") or kind == "step-start":
        return None
    raise _unknown(kind, where)


def _file(part: Object, where: str) -> Part:
    url, kind = text(part, "url", where), text(part, "mediaType", where)
    name = optional(part, "filename", str, default="", where=where)
    return media.part_of_url(url, kind, name)


class _Assistant:
    """An assistant's message, part by part: consecutive calls come before their outputs."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._ours: list[Item] = []
        self._theirs: list[Item] = []
        self._results: list[PartResult] = []
        self._calls: dict[str, ShownCall] = {}
        self._below = False

    def message(self, id: str) -> DecodedMessage:
        """The assistant's message, from the parts so far."""
        outputs = self._theirs
        self._flush()
        results = tuple(self._results)
        return DecodedMessage(
            "assistant", id, tuple(self._items), len(outputs), results, self._calls
        )

    def take(self, part: Object, where: str) -> None:
        kind = _kind(part, where)
        if wire.is_abandoned(part):
            return  # the replacement is in the message too
        match kind:
            case "text":
                self._say(Message(role="assistant", content=(TextPart(text(part, "text", where)),)))
            case "reasoning":
                self._say(Reasoning(summary=(text(part, "text", where),)))
            case "steering-message":
                self._steer(part, where)
            case "dynamic-tool":
                self._call(part, text(part, "toolName", where), where)
            case "step-start":
                self._flush()
            case _ if kind.startswith("data-"):
                self._below = BELOW.get(kind, self._below)
            case _ if kind.startswith("tool-"):
                self._call(part, kind[len("tool-") :], where)
            case _ if kind not in NOT_TOLD:
                raise _unknown(kind, where)
            case _:
                pass  # a model does not read it

    def _flush(self) -> None:
        """The outputs of the calls so far, those of the client last."""
        self._items += [*self._ours, *self._theirs]
        self._ours, self._theirs = [], []

    def _say(self, item: Item) -> None:
        if not self._below:
            self._flush()
            self._items.append(item)

    def _steer(self, part: Object, where: str) -> None:
        """Messages that the user sent while the reply was made."""
        parts = as_list(part.get("parts"), f"{where}.parts")
        places = [f"{where}.parts[{n}]" for n in range(len(parts))]
        contents = [
            _user_part(as_object(each, place), place)
            for each, place in zip(parts, places, strict=True)
        ]
        content = tuple(each for each in contents if each is not None)
        self._say(Message(role="user", content=content))

    def _call(self, part: Object, name: str, where: str) -> None:
        id = text(part, "toolCallId", where)
        state = text(part, "state", where)
        if state == "input-streaming":
            return  # a call that was never complete
        if state not in (*_OPEN_STATES, *_RESULT_STATES):
            raise BadRequest(
                f"{where}.state has an unknown value {state!r}.", param=f"{where}.state"
            )
        if part.get("input") is not None:
            self._calls[id] = ShownCall(part["input"], f"{where}.input")
        theirs = part.get("providerExecuted") is not True
        output = _output(part, state, id, where)
        self._answer(part, state, output, where, theirs=theirs)
        if self._below:
            return
        arguments = "{}" if part.get("input") is None else _json(part["input"])
        self._items.append(ToolCall(call_id=id, name=name, arguments=arguments))
        has_result = theirs and state in _RESULT_STATES
        (self._theirs if has_result else self._ours).append(output)

    def _answer(
        self, part: Object, state: str, output: ToolOutput, where: str, *, theirs: bool
    ) -> None:
        """Add the answer of a part to a waiting run."""
        if state == "approval-responded":
            approval, place = nested(part, "approval"), f"{where}.approval"
            decision = decode_decision(approval, place, others=APPROVAL_KEYS)
            self._results.append(PartResult(text(approval, "id", place), place, decision))
        elif theirs and state in _RESULT_STATES:
            first = output.output[0]
            words = first.text if isinstance(first, TextPart) else ""
            self._results.append(
                PartResult(output.call_id, where, text=words, failed=output.is_error)
            )


def _output(part: Object, state: str, id: str, where: str) -> ToolOutput:
    """The output of a call according to its part."""
    if state == "output-available":
        return ToolOutput(call_id=id, output=(TextPart(_json(part.get("output"))),))
    if state == "output-error":
        words = text(part, "errorText", where)
    elif state == "output-denied":
        words = DENIAL
    else:
        words = NOT_RUN
    return ToolOutput(call_id=id, output=(TextPart(words),), is_error=True)


def _json(value: Json) -> str:
    """A value as text for a model: a string unchanged."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def before(messages: Sequence[DecodedMessage]) -> tuple[Item, ...]:
    """The items of some messages, in order."""
    return tuple(item for message in messages for item in message.items)
