"""Answers to a waiting run, found in the input of a request of Responses, Chat Completions or Messages:
approvals and outputs of calls. `message_answers.py` has answers in words.

Only items after the last output of an agent count: earlier answers are history that a client sends again.
Messages among the answers go to the run that continues (`Answering.messages`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeGuard

from msgspec import Struct

from tailrace.errors import BadRequest, Conflict, NotFound
from tailrace.events import history, ids
from tailrace.events.answers import (
    Answer,
    Decline,
    One,
    Output,
    Reply,
    answer_place,
    reply,
)
from tailrace.events.items import Item, ProviderItem, ToolCall, ToolOutput, text_of
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Event, InputRequested
from tailrace.protocols import attribution, questions
from tailrace.protocols.decisions import DecisionKeys, decision_of_text, decode_decision
from tailrace.runs.directory import RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.outcomes import APPROVAL, REQUEST
from tailrace.service.stored_runs import StoredRuns

ANSWER_KEYS = ("type", "id", "status", "approval_request_id")
"""Keys of the answer to an approval request besides the decision."""


Place: TypeAlias = Callable[[int], str]
"""The path in the request of an item of its input."""


class Answering(Struct, frozen=True):
    """An answer to a run of an agent, and the messages that came with it."""

    run: str
    agent: str
    answer: Answer
    messages: tuple[Item, ...] = ()


def require_same_agent(asking: str, agent: str, param: str = "") -> None:
    """Raises `BadRequest` for an answer to another agent than the one that asked."""
    if agent != asking:
        raise BadRequest(f"'{asking}' asked this, not '{agent}': answer that one.", param=param)


async def find_answer(
    runs: StoredRuns, request: RunRequest, owner: Owner, place: Place, *, to_agent: bool
) -> Answering | None:
    """The answer that a request has for a waiting run; None for a request that starts a run of its own.
    `place` names an item of the input in errors. `to_agent`: the request goes to an agent, so each approval
    must be of a call that this server asked about. Raises `BadRequest`, and `Conflict` where another turn has
    answered."""
    first = history.behind_agents(request.input)
    items = [(n, item) for n, item in enumerate(request.input) if n >= first and _answers(item)]
    if not items:
        return None
    record = await _record(runs, request, [item for _, item in items], owner)
    if record is None:
        _check_approvals(items, "", place, to_agent=to_agent)
        return None
    _check_approvals(items, record.run, place, to_agent=to_agent)
    run = record.run
    await runs.until_settled(run, "The response that asked", "previous_response_id")
    state = await runs.directory.state(run)
    _check_unchanged(request.input, state, run)
    answers = [_answer(item, state, run, place(n)) for n, item in items]
    for (n, item), one in zip(items, answers, strict=True):
        if one is None and isinstance(item, ToolOutput) and questions.is_question_id(item.call_id):
            raise no_question(item.call_id, f"{place(n)}.call_id")
    answer = tuple(each for each in answers if each is not None)
    if not answer:
        return None
    for (n, item), one in zip(items, answers, strict=True):
        if one is None and isinstance(item, ToolOutput) and not _has_call(item, state):
            raise BadRequest(
                f"{place(n)} is the output of a call that was not made: {item.call_id}.",
                param=f"{place(n)}.call_id",
            )
    whole = not (request.previous or request.conversation)
    messages = history.said_besides(state.start_request(), request.input, whole=whole)
    answering = Answering(run, record.agent, answer, messages)
    if await answered_before(runs, answering):
        _check_later(request, await runs.directory.events(run), answer)
        return None
    return answering


def _check_approvals(
    items: Sequence[tuple[int, ProviderItem | ToolOutput]],
    run: str,
    place: Place,
    *,
    to_agent: bool,
) -> None:
    """Raises `BadRequest` for an approval of a call that this server did not ask about, and for any answer to
    a run that is gone."""
    for n, item in items:
        if isinstance(item, ToolOutput):
            if questions.is_question_id(item.call_id) and not run:
                raise no_question(item.call_id, f"{place(n)}.call_id")
            continue
        position = ids.item_position(_request_id(item))
        has_number = attribution.item_number(_request_id(item)) is not None
        ours = position is not None or (has_number and run)
        if (position is not None and not run) or (to_agent and not ours):
            raise no_question(_request_id(item), f"{place(n)}.approval_request_id")


def no_question(id: str, place: str) -> BadRequest:
    """The error for an answer to nothing that is open."""
    return BadRequest(f"There is no open question with the id '{id}'.", param=place)


async def answered_before(runs: StoredRuns, turn: Answering) -> bool:
    """Whether an earlier turn gave the same answer with other messages: then these messages start a run of
    their own."""
    if not turn.messages:
        return False
    events = await runs.directory.events(turn.run)
    return (
        answer_place(events, turn.answer) is not None
        and answer_place(events, turn.answer, turn.messages) is None
    )


def _check_later(request: RunRequest, events: Sequence[Event], answer: Answer) -> None:
    """Raises `Conflict` for a request that continues from a pause which another one has answered."""
    place = answer_place(events, answer)
    if request.previous and place is not None and ids.response_turn(request.previous) < place.turn:
        raise Conflict("Another turn has answered this already.", code="already_answered")


def _check_unchanged(items: Sequence[Item], state: RunState, run: str) -> None:
    """Raises `BadRequest` for an approval request that comes back with another name or other arguments: a
    call runs as it was shown."""
    for n, item in enumerate(items):
        if not isinstance(item, ProviderItem) or item.data.get("type") != REQUEST:
            continue
        position = ids.item_position(str(item.data.get("id", "")))
        if position is None or position[0] != run or position[1] >= len(state.items):
            continue
        call = state.items[position[1]].content
        for name in ("name", "arguments"):
            value = item.data.get(name)
            if isinstance(call, ToolCall) and value not in (None, getattr(call, name)):
                raise changed_call(f"input[{n}].{name}")


def changed_call(place: str) -> BadRequest:
    """The error for an answer that changes its call."""
    return BadRequest(f"{place} was changed; a call runs as it was asked about.", param=place)


def _answers(item: Item) -> TypeGuard[ProviderItem | ToolOutput]:
    """Whether an item may be an answer: to an approval request, or the output of a call."""
    return isinstance(item, ToolOutput) or (
        isinstance(item, ProviderItem) and item.data.get("type") == APPROVAL
    )


def _has_call(output: ToolOutput, state: RunState) -> bool:
    """Whether the run or its history has the call of an output."""
    calls = (item.content for item in state.items)
    request = state.start_request()
    return any(
        isinstance(call, ToolCall) and call.call_id == output.call_id
        for call in (*calls, *request.history, *request.input)
    )


async def _record(
    runs: StoredRuns,
    request: RunRequest,
    items: Sequence[ProviderItem | ToolOutput],
    owner: Owner,
) -> RunRecord | None:
    """The run that asked: the one that an approval request's id names, else the previous response's, else the
    conversation's last."""
    names = [request.previous] if request.previous else []
    for item in items:
        name = _request_id(item) if isinstance(item, ProviderItem) else item.call_id
        position = ids.item_position(name)
        if position is not None:
            names.append(position[0])
    for name in names:
        try:
            return await runs.directory.find(name, owner)
        except NotFound:
            continue
    if not request.conversation:
        return None
    conversation = await runs.conversations.get(request.conversation, owner)
    return await anext(runs.conversations.runs(conversation), None)


def _answer(item: ProviderItem | ToolOutput, state: RunState, run: str, where: str) -> One | None:
    if isinstance(item, ToolOutput):
        position = questions.approval_position(item.call_id)
        if position is not None and position[0] == run:
            decision = decision_of_text(text_of(item.output), where)
            return decision.approval(position[1], ids.asked_time(item.call_id))
        return _reply(item, state, run) or _client_output(item, state)
    position = ids.item_position(_request_id(item))
    number = position[1] if position is not None else attribution.item_number(_request_id(item))
    if number is None:
        return None
    if position is not None and position[0] != run:
        place = f"{where}.approval_request_id"
        raise BadRequest(f"{place} is of another response.", param=place)
    decision = decode_decision(item.data, where, DecisionKeys(approval="approve"), ANSWER_KEYS)
    return decision.approval(number, ids.asked_time(_request_id(item)))


def _reply(output: ToolOutput, state: RunState, run: str) -> Reply | Decline | None:
    """The answer to the question whose call has this output: an open one first, else one that was answered
    already, which the run then refuses."""
    matches: list[InputRequested] = []
    for question in state.questions.values():
        call = None if question.item is None else state.items[question.item].content
        own_id = call.call_id if isinstance(call, ToolCall) else ""
        if output.call_id in (own_id, questions.call_id(run, question)):
            matches.append(question)
    matches.sort(key=lambda question: state.asks[question.request_id] != "asked")
    if not matches:
        return None
    text = text_of(output.output)
    question = matches[0]
    return Decline(question.request_id, text) if output.is_error else reply(question, text)


def _client_output(output: ToolOutput, state: RunState) -> Output | None:
    """The output of a client's tool that the model called beside a question."""
    if state.phase != "waiting":
        return None  # it starts a turn of its own
    for number, item in enumerate(state.items):
        call = item.content
        if item.tool == "handed" and isinstance(call, ToolCall) and call.call_id == output.call_id:
            return Output(number, text_of(output.output), output.is_error)
    return None


def _request_id(item: ProviderItem) -> str:
    return str(item.data.get("approval_request_id", ""))
