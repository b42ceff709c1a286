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
    """The person's answers to all questions: y/N to a call, text to a question."""
    return [_put(question) for question in waiting_for]


def _put(question: Question) -> AnswerFields:
    if question["kind"] == "approval":
        return answer_fields(
            question, "yes" if typer.confirm(sentence(question), default=False) else "no"
        )
    return answer_fields(question, str(typer.prompt(sentence(question))))


def sentence(question: Question) -> str:
    """A question as a sentence."""
    if question["kind"] == "question":
        return str(question["message"])
    return f"Run {question['name']}({question['arguments']})?"


def answer_fields(question: Question, text: str) -> AnswerFields:
    """The answer that a text gives: yes or no to a call, any text to a question. Raises `ServerError`."""
    if question["kind"] == "question":
        request = InputRequested(question["request_id"], question["message"], question["schema"])
        try:
            return msgspec.structs.asdict(reply(request, text))
        except BadRequest as error:
            raise ServerError(error.message) from None
    if text not in ("yes", "no"):
        raise ServerError(f"{question['name']}({question['arguments']}) waits for yes or no.")
    return {name: question[name] for name in ("item", "asked")} | {"approved": text == "yes"}
