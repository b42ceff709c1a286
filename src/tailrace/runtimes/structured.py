"""Answers that must fit a JSON schema: checked when the model has ended, asked for again when they do not."""

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
    """Why answers cannot be checked against what a client asked for, or `""`."""
    return schema_fault(output.schema) if output.kind == "json_schema" and output.schema else ""


def question_schema(schema: Json) -> Json:
    """The schema of a question that somebody else's code asks; None, and a word to the operator, when no
    answer could be checked against it."""
    if schema is not None and (wrong := schema_fault(schema)):
        logger.warning("a question is sent without its schema, which is invalid: %s", wrong)
        return None
    return schema


async def fault(state: RunState, agent: str, output: OutputFormat) -> str:
    """What is wrong with the agent's last answer, as a note for the model; `""` when it fits.

    Raises `ModelFailed` after `TRIES` answers that do not fit, and when it cannot be told. An answer that was
    cut off by a limit, or that hands calls to the client, is not checked.
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
    """Of each text, why it is no JSON of this schema; in another process where that takes long."""
    try:
        return misfits(texts, schema, WorkBudget(QUICK))
    except Overspent:
        return await CHECKER.misfits(texts, schema)
    except NoSchema as error:
        raise ModelFailed(f"The answer cannot be checked: {error}") from None
