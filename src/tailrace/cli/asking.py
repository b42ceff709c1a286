"""What a waiting run asks, put to the person at a terminal, and what they say as an answer.

The questions are those of a job's `waiting_for`, the answers what `POST /jobs/{id}/input` takes.
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

Asked = dict[str, Any]
Given = dict[str, Any]


def can_ask() -> bool:
    """Whether standard input and output are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(waiting_for: Sequence[Asked]) -> list[Given]:
    """The person's answers to all that is asked: y/N to a call, words to a question."""
    return [_put(asked) for asked in waiting_for]


def _put(asked: Asked) -> Given:
    if asked["kind"] == "approval":
        return given(asked, "yes" if typer.confirm(sentence(asked), default=False) else "no")
    return given(asked, str(typer.prompt(sentence(asked))))


def sentence(asked: Asked) -> str:
    """What is asked, for people."""
    if asked["kind"] == "question":
        return str(asked["message"])
    return f"Run {asked['name']}({asked['arguments']})?"


def given(asked: Asked, text: str) -> Given:
    """An answer in words: yes or no to a call, any text to a question. Raises `ServerError`."""
    if asked["kind"] == "question":
        question = InputRequested(asked["request_id"], asked["message"], asked["schema"])
        try:
            return msgspec.structs.asdict(reply(question, text))
        except BadRequest as error:
            raise ServerError(error.message) from None
    if text not in ("yes", "no"):
        raise ServerError(f"{asked['name']}({asked['arguments']}) waits for yes or no.")
    return {name: asked[name] for name in ("item", "asked")} | {"approved": text == "yes"}
