"""Answers of people and clients, as drafts of events for the waiting run. Pure.

A run waits for three things: the approval of a tool call, the answer to a question, and the output of a tool
that the client runs. Each is identified by the ordinal of its call or by an id. An answer that does not fit
is refused, and the question stays open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias, assert_never

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, Conflict
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.item_state import ItemState
from tailrace.events.items import Item, Json
from tailrace.events.schema_shapes import NoSchema
from tailrace.events.schemas import mismatch
from tailrace.events.state import RunState
from tailrace.events.types import (
    ApprovalRequested,
    ApprovalResolved,
    Draft,
    Event,
    InputReceived,
    InputRequested,
    Payload,
    RunResumed,
    RunWaiting,
    ToolCompleted,
)
from tailrace.events.work import Overspent


class Approval(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person's decision about the tool call of item `item`, at its `occurrence`th request (1, 2, 3 …).

    `arguments`: the edited arguments of an approved call, as JSON text (free text for a custom tool).
    `response`: the result of the call, which then does not run; `approved` is false.
    """

    item: int
    approved: bool
    reason: str = ""
    occurrence: int = msgspec.field(default=1, name="asked")
    arguments: str | None = None
    response: str | None = None

    def event(self, by: str = "") -> ApprovalResolved:
        """The decision as the event of the run."""
        return ApprovalResolved(
            self.item, self.approved, self.reason, self.arguments, self.response, by
        )


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to question `request_id`, a JSON value."""

    request_id: str
    value: Json = None


class Decline(Struct, frozen=True):
    """Question `request_id` will not be answered. If a call put the question, `words` are the
    output of the call."""

    request_id: str
    words: str


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    """The output of a client's tool for the call of item `item`, while the rest of the run waits."""

    item: int
    output: str
    is_error: bool = False


One: TypeAlias = Approval | Reply | Decline | Output

Answer: TypeAlias = tuple[One, ...]
"""One or more answers that are accepted together or not at all."""


class AnswerPlace(Struct, frozen=True):
    """The position of an answer in its run: the number of its first event, and the turn that it began or
    belongs to (0 up to the first pause). `is_repeated`: the same answer had been recorded before."""

    seq: int
    turn: int
    is_repeated: bool = False


def reply(question: InputRequested, text: str) -> Reply:
    """An answer given as text: the text, or its value as JSON if only that fits the question. Raises
    `BadRequest` if the check takes too long."""
    if not _unfit(text, question.schema):
        return Reply(question.request_id, text)
    try:
        return Reply(question.request_id, msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return Reply(question.request_id, text)


def _unfit(value: Json, schema: Json) -> str:
    """The reason why a value does not fit a schema, or `""`. A schema that cannot be used (questions of older
    versions may have one) accepts every value; the agent then checks it."""
    try:
        return mismatch(value, schema)
    except NoSchema:
        return ""
    except Overspent:
        raise BadRequest("The answer takes too long to check against its question.") from None


def drafts(state: RunState, answer: Answer, by: str = "") -> list[Draft]:
    """The drafts of an answer by user `by`. Raises `Conflict` for a question that is not open, `BadRequest`
    for an answer that the question does not allow."""
    names = [each.request_id if isinstance(each, Reply | Decline) else each.item for each in answer]
    if len(set(names)) < len(names):
        raise Conflict("The same question is answered twice.", code="already_answered")
    return [_draft(state, each, by) for each in answer]


def answer_place(
    events: Iterable[Event], answer: Answer, messages: tuple[Item, ...] = ()
) -> AnswerPlace | None:
    """The position of an equal answer, with all of its parts, in a turn with exactly these `messages`; None
    if there is none. Without `messages`, in any turn."""
    log = _Log()
    for event in events:
        log.take(event)
    places_or_none = [log.find(each) for each in answer]
    places = [place for place in places_or_none if place is not None]
    if not 0 < len(places) == len(places_or_none):
        return None
    first = min(places, key=lambda place: place.seq)
    return first if not messages or log.messages.get(first.turn) == messages else None


class _Log:
    """The answers in a log, by the call or question that they answer."""

    def __init__(self) -> None:
        self._approval_counts: Counter[int] = Counter()
        self._open: set[int] = set()
        self._questions: dict[str, InputRequested] = {}
        self._answers: dict[tuple[str, str | int, int], tuple[Payload, AnswerPlace]] = {}
        self.messages: dict[int, tuple[Item, ...]] = {}
        """The messages of each turn."""
        self._turn = 0
        self._waits = False

    def take(self, event: Event) -> None:
        """Add the next event."""
        payload = event.payload
        match payload:
            case ApprovalRequested():
                self._approval_counts[payload.item] += 1
                self._open.add(payload.item)
            case InputRequested():
                self._questions[payload.request_id] = payload
            case ApprovalResolved():
                payload = msgspec.structs.replace(payload, by="")
                self._keep(
                    event, payload, "call", payload.item, self._approval_counts[payload.item]
                )
                self._open.discard(payload.item)
            case InputReceived():
                payload = msgspec.structs.replace(payload, by="")
                self._keep(event, payload, "question", payload.request_id)
            case ToolCompleted():
                self._keep(event, payload, "output", payload.item)
                self._open.discard(payload.item)
            case RunWaiting():
                self._waits = True
            case RunResumed():
                self._turn, self._waits = self._turn + 1, False
                self.messages[self._turn] = payload.input
            case _:
                pass

    def _keep(
        self, event: Event, payload: Payload, kind: str, name: str | int, time: int = 0
    ) -> None:
        place = AnswerPlace(event.seq, self._turn + self._waits, is_repeated=True)
        self._answers[kind, name, time] = payload, place

    def find(self, answer: One) -> AnswerPlace | None:
        """The position of one equal answer; None for the approval of a call whose approval was requested
        again since: its sender must get an error."""
        if isinstance(answer, Approval) and answer.item in self._open:
            return None
        key, expected = self._key_and_payload(answer)
        payload, place = self._answers.get(key, (None, None))
        return place if payload == expected else None

    def _key_and_payload(self, answer: One) -> tuple[tuple[str, str | int, int], Payload]:
        """The key of the answered call or question, and the event that the answer becomes."""
        match answer:
            case Approval():
                return ("call", answer.item, answer.occurrence), answer.event()
            case Reply():
                input_received = InputReceived(answer.request_id, answer.value)
                return ("question", answer.request_id, 0), input_received
            case Decline():
                question = self._questions.get(answer.request_id)
                words = answer.words if question is not None and question.item is not None else None
                return ("question", answer.request_id, 0), InputReceived(answer.request_id, words)
            case Output():
                completed = ToolCompleted(answer.item, answer.output, answer.is_error)
                return ("output", answer.item, 0), completed
            case _:
                assert_never(answer)


def _draft(state: RunState, answer: One, by: str) -> Draft:
    match answer:
        case Approval():
            exists = 0 <= answer.item < len(state.items)
            item = state.items[answer.item] if exists else None
            if item is None or item.tool not in ASKED_TOOL:
                raise Conflict("This approval is no longer requested.", code="already_answered")
            if item.approval_requests != answer.occurrence:
                raise Conflict(
                    "This approval was requested again"
                    f" (asked: {item.approval_requests}): answer that request.",
                    code="already_answered",
                )
            _check_decision(answer.event(), item)
            return Draft(answer.event(by), item.node, item.agent)
        case Reply():
            schema = _open_question(state, answer.request_id).schema
            if wrong := _unfit(answer.value, schema):
                raise BadRequest(f"The answer does not fit the question: {wrong}.")
            return Draft(InputReceived(answer.request_id, answer.value, by))
        case Decline():
            question = _open_question(state, answer.request_id)
            words = None if question.item is None else answer.words
            return Draft(InputReceived(answer.request_id, words, by))
        case Output():
            exists = 0 <= answer.item < len(state.items)
            item = state.items[answer.item] if exists else None
            if item is None or item.tool != "handed":
                raise Conflict("This output is no longer expected.", code="already_answered")
            completed = ToolCompleted(answer.item, answer.output, answer.is_error)
            return Draft(completed, item.node, item.agent)
        case _:
            assert_never(answer)


def _open_question(state: RunState, name: str) -> InputRequested:
    if state.asks.get(name) != "asked":
        raise Conflict("This question is no longer open.", code="already_answered")
    return state.questions[name]


def _check_decision(decision: ApprovalResolved, item: ItemState) -> None:
    """Raises `BadRequest` for a decision that the request does not allow, and for edited arguments that do
    not fit the tool's schema."""
    request = item.approval_request
    name = item.started.name
    if request is not None and request.decisions and decision.decision not in request.decisions:
        allowed = ", ".join(request.decisions)
        raise BadRequest(
            f"A call of {name} cannot be answered with {decision.decision!r}; allowed: {allowed}.",
            code="decision_not_allowed",
        )
    if decision.arguments is None or item.started.custom:
        return
    try:
        value = msgspec.json.decode(decision.arguments)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest(f"The edited arguments of {name} are not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The edited arguments of {name} must be a JSON object.")
    if wrong := _unfit(value, request.schema if request is not None else None):
        raise BadRequest(f"The edited arguments of {name} do not fit its schema: {wrong}.")
