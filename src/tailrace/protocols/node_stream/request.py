"""`POST /jobs`: the agent that shall run, and its input."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest
from tailrace.events.answers import Answer, Approval, Reply
from tailrace.events.items import Item, Json, Message, TextPart
from tailrace.events.request import RunRequest, Settings
from tailrace.protocols.decisions import decode_decision
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    body_object,
    metadata,
    only,
    optional,
)

SURFACE = "native"
PARAMETERS = frozenset({"agent", "input", "instructions", "metadata", "settings"})


def decode(body: bytes) -> RunRequest:
    """Decode `{agent, input, instructions?, metadata?, settings?}`. Raises `BadRequest`.

    `input` is a string or a list of items in the form that events show them (docs/events.schema.json);
    `settings` are a run's settings in that form. An unknown key is an error.
    """
    fields = body_object(body)
    for name in fields:
        if name not in PARAMETERS:
            names = ", ".join(sorted(PARAMETERS))
            raise BadRequest(f"Unknown parameter: {name!r}; known: {names}.", param=name)
    agent = optional(fields, "agent", str, default="")
    if not agent:
        raise BadRequest("Missing required parameter: 'agent'.", param="agent")
    if "input" not in fields:
        raise BadRequest("Missing required parameter: 'input'.", param="input")
    return RunRequest(
        agent=agent,
        model=agent,
        surface=SURFACE,
        input=_input(fields["input"]),
        instructions=optional(fields, "instructions", str, default=""),
        settings=_settings(fields.get("settings")),
        metadata=metadata(fields),
    )


class _CallRequest(Struct, frozen=True):
    item: int
    occurrence: int = msgspec.field(default=1, name="asked")


def decode_answers(body: bytes) -> Answer:
    """Decode the body of `POST /jobs/{id}/input`. Raises `BadRequest`.

    One answer, or `{answers: [...]}` with several that are accepted together. An answer is
    `{item, asked?, …}` with a decision (`protocols/decisions.py`) for a call that waits for one (`asked`:
    the number of the request about that call, by default 1), or `{request_id, value}` for a question.
    """
    fields = body_object(body)
    if "answers" in fields:
        only(fields, ("answers",), "")
    answers = as_list(fields["answers"], "answers") if "answers" in fields else [fields]
    if not answers:
        raise BadRequest("answers must not be empty.", param="answers")
    return tuple(_answer(as_object(value, "answers")) for value in answers)


def _answer(fields: Object) -> Approval | Reply:
    try:
        if "item" in fields:
            decision = decode_decision(fields, "answers", others=("item", "asked"))
            place = msgspec.convert(
                {name: fields[name] for name in ("item", "asked") if name in fields}, _CallRequest
            )
            return decision.approval(place.item, place.occurrence)
        return msgspec.convert(fields, Reply)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The answer does not fit: {error}", param="answers") from None


def _input(value: Json) -> tuple[Item, ...]:
    if isinstance(value, str):
        return (Message(role="user", content=(TextPart(value),)),)
    try:
        return msgspec.convert(as_list(value, "input"), tuple[Item, ...])
    except msgspec.ValidationError as error:
        raise BadRequest(f"input does not fit: {error}", param="input") from None


def _settings(value: Json) -> Settings:
    if value is None:
        return Settings()
    try:
        return msgspec.convert(value, Settings)
    except msgspec.ValidationError as error:
        raise BadRequest(f"settings do not fit: {error}", param="settings") from None
