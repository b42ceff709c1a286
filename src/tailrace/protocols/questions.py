"""What a run waits for, as calls of `ask_user`: the form on the surfaces that have calls of a client's tools
and no form for questions to a person (Chat Completions, Messages).

A reply that ends because its run waits has a text and one call for each open question, in the order in which
they were put. The client's next request answers them: by the output of a call (a tool message, a
`tool_result`), or by a message of the user if one question is open (`service/answers.py`).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tailrace.events import ids
from tailrace.events.items import Json, ToolCall
from tailrace.events.pauses import QUESTION, ApprovalRequested, InputRequested
from tailrace.events.types import ItemCompleted
from tailrace.protocols.fields import Object, without_empty

APPROVAL = "apr"
"""The prefix of the id of a call that asks for approval."""
CALL = "call"
"""The prefix of the id of a model's own call that asks the user."""
ALL_DECISIONS = ("approve", "edit", "reject", "respond")


def call_id(run: str, question: InputRequested) -> str:
    """The id of the call that shows a question; `""` for a question in a log of 0.1 that no call asks."""
    if question.call_id or question.item is None:
        return question.call_id
    return ids.item_id(CALL, run, question.item)


def is_question_id(call_id: str) -> bool:
    """Whether an id is that of a call by which we ask: for approval, or a question that is no call of a
    model."""
    prefix = call_id.partition("_")[0]
    return prefix in (APPROVAL, QUESTION) and ids.item_position(call_id) is not None


def approval_position(call_id: str) -> tuple[str, int] | None:
    """The run and the call about which a call of ours asks; None for other ids."""
    is_approval = call_id.partition("_")[0] == APPROVAL
    return ids.item_position(call_id) if is_approval else None


class OpenQuestion(Struct, frozen=True):
    """An open question: the call that shows it, and its text."""

    call_id: str
    text: str
    arguments: Object

    @property
    def arguments_json(self) -> str:
        """The arguments of the call of `ask_user`."""
        return msgspec.json.encode(self.arguments).decode()


class OpenQuestions:
    """The open questions of a run, from its events."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._calls: dict[int, ToolCall] = {}
        self._times: dict[int, int] = {}
        self._questions: dict[str | int, OpenQuestion] = {}

    def complete_call(self, payload: ItemCompleted) -> None:
        """Keep a call, which may need approval later."""
        if isinstance(payload.content, ToolCall):
            self._calls[payload.item] = payload.content

    def request_approval(self, payload: ApprovalRequested) -> None:
        """Add the question whether a call may run."""
        time = self._times[payload.item] = self._times.get(payload.item, 0) + 1
        call = self._calls.get(payload.item)
        name = call.name if call is not None else "the tool"
        text = payload.message or f"Run {name}?"
        arguments: Object = {"question": text, "schema": _decision_schema(payload)}
        if call is not None:
            arguments |= {"tool": call.name, "arguments": _value(call.arguments)}
        id = ids.asked_id(ids.item_id(APPROVAL, self._run, payload.item), time)
        self._questions[payload.item] = OpenQuestion(id, text, arguments)

    def request_input(self, payload: InputRequested) -> None:
        """Add a question to the user."""
        arguments = without_empty({"question": payload.message, "schema": payload.schema})
        self._questions[payload.request_id] = OpenQuestion(
            call_id(self._run, payload), payload.message, arguments
        )

    def resolve(self, name: str | int) -> None:
        """Remove a question that is answered: the number of its call, or its request id."""
        self._questions.pop(name, None)

    def open(self) -> list[OpenQuestion]:
        """The open questions that a call can show. Only logs of 0.1 have others."""
        return [each for each in self._questions.values() if each.call_id]


def _decision_schema(payload: ApprovalRequested) -> Json:
    """The JSON schema of the output that decides about a call (`protocols/decisions.py`)."""
    allowed = payload.decisions or ALL_DECISIONS
    properties: Object = {"approved": {"type": "boolean"}}
    if "edit" in allowed:
        properties["arguments"] = (
            payload.schema if payload.schema is not None else {"type": "object"}
        )
    if "reject" in allowed:
        properties["reason"] = {"type": "string"}
    if "respond" in allowed:
        properties["response"] = {"type": "string"}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(arguments: str) -> Json:
    """The arguments of a call as a value; text that is not JSON unchanged."""
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
