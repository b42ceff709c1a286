"""Answers that must fit a JSON schema: validated when the model has ended, and requested again if they do
not fit."""

from __future__ import annotations

import logging

from tailrace.errors import ModelFailed
from tailrace.events.history import made_by
from tailrace.events.items import Json, Message, text_of
from tailrace.events.request import OutputFormat
from tailrace.events.schema_shapes import NoSchema
from tailrace.events.schema_shapes import fault as schema_fault
from tailrace.events.schemas import QUICK, misfits
from tailrace.events.state import RunState
from tailrace.events.work import Overspent, WorkBudget
from tailrace.runtimes.checker import CHECKER

logger = logging.getLogger("tailrace.runtimes")

TRIES = 3


def objection(output: OutputFormat) -> str:
    """The reason why answers cannot be checked against a client's schema, or `""`."""
    return schema_fault(output.schema) if output.kind == "json_schema" and output.schema else ""


def question_schema(schema: Json) -> Json:
    """The schema of a question that a framework's code asks; None, with a warning in the log, if no answer
    could be validated against it."""
    if schema is not None and (wrong := schema_fault(schema)):
        logger.warning("a question is sent without its schema, which is invalid: %s", wrong)
        return None
    return schema


async def fault(state: RunState, agent: str, output: OutputFormat) -> str:
    """The fault of the agent's last answer, as a note for the model; `""` if it fits.

    Raises `ModelFailed` after `TRIES` answers that do not fit, and when validation is not possible. An
    answer that a limit cut off, or with calls for the client, is not validated.
    """
    if output.kind != "json_schema" or not output.schema or state.finishes.get(agent) != "stop":
        return ""
    texts = [text_of(item.content) for item in made_by(state, agent) if isinstance(item, Message)]
    wrong = await _misfits(texts or [""], output.schema)
    if not wrong[-1]:
        return ""
    if sum(map(bool, wrong)) >= TRIES:
        raise ModelFailed(
            f"The model's answer did not fit the schema in {TRIES} tries: {wrong[-1]}"
        )
    return (
        f"Your answer does not fit the JSON schema: {wrong[-1]}. Answer again, with the JSON only."
    )


async def _misfits(texts: list[str], schema: Json) -> list[str]:
    """The fault of each text as JSON of this schema, or `""`; checked in another process if that takes
    long."""
    try:
        return misfits(texts, schema, WorkBudget(QUICK))
    except Overspent:
        return await CHECKER.misfits(texts, schema)
    except NoSchema as error:
        raise ModelFailed(f"The answer cannot be checked: {error}") from None
