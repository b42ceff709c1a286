"""Answers that must fit a JSON schema: checked when the model has ended, asked for again when they do not."""

from __future__ import annotations

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events.history import made_by
from tailrace.events.items import Message, text_of
from tailrace.events.request import OutputFormat
from tailrace.events.schemas import mismatch
from tailrace.events.state import RunState

TRIES = 3


def fault(state: RunState, agent: str, output: OutputFormat) -> str:
    """What is wrong with the agent's last answer, as a note for the model; `""` when it fits.

    Raises `ModelFailed` after `TRIES` answers that do not fit. An answer that was cut off by a limit, or
    that hands calls to the client, is not checked.
    """
    if output.kind != "json_schema" or not output.schema or state.finishes.get(agent) != "stop":
        return ""
    messages = [item for item in made_by(state, agent) if isinstance(item, Message)]
    text = text_of(messages[-1].content) if messages else ""
    wrong = _fault(text, output.schema)
    if not wrong:
        return ""
    tries = sum(_fault(text_of(message.content), output.schema) != "" for message in messages)
    if tries >= TRIES:
        raise ModelFailed(f"The model's answer did not fit the schema in {TRIES} tries: {wrong}")
    return f"Your answer does not fit the JSON schema: {wrong}. Answer again, with the JSON only."


def _fault(text: str, schema: object) -> str:
    """Why `text` is no JSON of this schema, or `""`; a schema that cannot be read is the model server's."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return str(error)
    return mismatch(value, schema)
