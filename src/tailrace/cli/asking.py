"""The questions of a waiting run, put to the person at a terminal.

Questions are the objects in a job's `waiting_for`, answers those that `POST /jobs/{id}/input` accepts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import typer

from tailrace.cli.errors import ServerError
from tailrace.errors import BadRequest
from tailrace.events.answers import reply
from tailrace.events.types import InputRequested

Question = dict[str, Any]
AnswerFields = dict[str, Any]


def can_ask() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(waiting_for: Sequence[Question]) -> list[AnswerFields]:
    """The person's answers to all questions: a decision about a call, text to a question."""
    return [_put(question) for question in waiting_for]


def _put(question: Question) -> AnswerFields:
    """Put a question until its answer is well-formed."""
    approval = question["kind"] == "approval"
    text = f"{sentence(question)} [{_forms(question)}]" if approval else sentence(question)
    while True:
        try:
            return answer_fields(
                question, str(typer.prompt(text, default="no" if approval else None))
            )
        except ServerError as error:
            typer.echo(error, err=True)


def sentence(question: Question) -> str:
    """A question as a sentence."""
    if question["kind"] == "question":
        return str(question["message"])
    return f"Run {question['name']}({question['arguments']})?"


FORMS = {
    "approve": "yes",
    "reject": "no[: REASON]",
    "edit": "edit: ARGUMENTS",
    "respond": "respond: TEXT",
}
"""How each decision about a call is written."""


def _forms(question: Question) -> str:
    return " | ".join(FORMS[each] for each in question.get("decisions") or FORMS)


def decision(text: str) -> AnswerFields | None:
    """The decision that a text in one of `FORMS` gives; None for any other text."""
    word, colon, rest = text.partition(":")
    rest = rest.strip()
    match (word.strip().lower(), bool(colon)):
        case ("yes" | "y", False):
            return {"approved": True}
        case ("no" | "n", _):
            return {"approved": False, "reason": rest} if rest else {"approved": False}
        case ("edit", True):
            return {"approved": True, "arguments": rest}
        case ("respond", True):
            return {"response": rest}
        case _:
            return None


def answer_fields(question: Question, text: str) -> AnswerFields:
    """The answer that a text gives: a decision (`FORMS`) about a call, any text to a question. Raises
    `ServerError`."""
    if question["kind"] == "question":
        request = InputRequested(question["request_id"], question["message"], question["schema"])
        try:
            return msgspec.structs.asdict(reply(request, text))
        except BadRequest as error:
            raise ServerError(error.message) from None
    fields = decision(text)
    if fields is None:
        call = f"{question['name']}({question['arguments']})"
        raise ServerError(f"{call} waits for a decision: {_forms(question)}.")
    return {name: question[name] for name in ("item", "asked")} | fields
