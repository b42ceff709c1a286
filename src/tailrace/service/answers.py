"""A turn that answers: approvals and questions of a waiting run, found in the input of a new response.

Only what no agent has said anything after counts: earlier answers are history that a client sends again.
Messages among the answers are said to the run that goes on (`Answering.said`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from msgspec import Struct

from tailrace.errors import BadRequest, Conflict, NotFound
from tailrace.events import history, ids
from tailrace.events.answers import (
    Answer,
    Approval,
    Declined,
    One,
    Output,
    Reply,
    given,
    reply,
)
from tailrace.events.items import Item, ProviderItem, ToolCall, ToolOutput, text_of
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Event, InputRequested
from tailrace.protocols import attribution
from tailrace.protocols.fields import only, optional
from tailrace.runs.directory import RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.outcomes import APPROVAL, REQUEST
from tailrace.service.stored_runs import StoredRuns

ANSWER_KEYS = ("type", "id", "status", "approval_request_id", "approve", "reason")


class Answering(Struct, frozen=True):
    """The run that is answered, whose it is, what, and the messages that came with that."""

    run: str
    agent: str
    answer: Answer
    said: tuple[Item, ...] = ()


def to_who_asked(asked: str, agent: str, param: str = "") -> None:
    """Refuse an answer that is sent to another agent than the one that asked. Raises `BadRequest`."""
    if agent != asked:
        raise BadRequest(f"'{asked}' asked this, not '{agent}': answer that one.", param=param)


async def answering(
    stored: StoredRuns, request: RunRequest, who: Owner, *, of_agent: bool
) -> Answering | None:
    """What a request answers, or None for a request that starts a run of its own. `of_agent`: it is sent to
    an agent, so that an approval is of nothing else than what agents here have asked."""
    first = history.behind_agents(request.input)
    asked = [(n, item) for n, item in enumerate(request.input) if n >= first and _answers(item)]
    if not asked:
        return None
    record = await _record(stored, request, [item for _, item in asked], who)
    if record is None:
        _all_asked(asked, "", of_agent=of_agent)
        return None
    _all_asked(asked, record.run, of_agent=of_agent)
    run = record.run
    await stored.until_settled(run, "The response that asked", "previous_response_id")
    state = await stored.directory.state(run)
    _unchanged(request.input, state, run)
    answers = [_answer(item, state, run, f"input[{n}]") for n, item in asked]
    found = tuple(answer for answer in answers if answer is not None)
    if not found:
        return None
    for (n, item), answer in zip(asked, answers, strict=True):
        if answer is None and isinstance(item, ToolOutput) and not _is_known(item, state):
            raise BadRequest(
                f"input[{n}] is the output of a call that was not made: {item.call_id}.",
                param=f"input[{n}].call_id",
            )
    whole = not (request.previous or request.conversation)
    said = history.said_besides(state.started(), request.input, whole=whole)
    answered = Answering(run, record.agent, found, said)
    if await answered_before(stored, answered):
        _goes_on_later(request, await stored.directory.events(run), found)
        return None
    return answered


def _all_asked(
    asked: Sequence[tuple[int, ProviderItem | ToolOutput]], run: str, *, of_agent: bool
) -> None:
    """Refuse an approval of what nobody here asked, or of a run that is not there. Raises `BadRequest`."""
    for n, item in asked:
        if isinstance(item, ToolOutput):
            continue
        position = ids.item_position(_asked(item))
        attributed = attribution.item_number(_asked(item)) is not None
        ours = position is not None or (attributed and run)
        if (position is not None and not run) or (of_agent and not ours):
            place = f"input[{n}].approval_request_id"
            raise BadRequest(
                f"There is no open question with the id '{_asked(item)}'.", param=place
            )


async def answered_before(stored: StoredRuns, turn: Answering) -> bool:
    """Whether all that a turn answers was answered, just so, by a turn that said something else: what this
    one says is for a run of its own."""
    if not turn.said:
        return False
    events = await stored.directory.events(turn.run)
    return given(events, turn.answer) is not None and given(events, turn.answer, turn.said) is None


def _goes_on_later(request: RunRequest, events: Sequence[Event], answer: Answer) -> None:
    """Raises `Conflict` where a request goes on from the very pause that another one has answered."""
    place = given(events, answer)
    if request.previous and place is not None and ids.response_turn(request.previous) < place.turn:
        raise Conflict("Another turn has answered this already.", code="already_answered")


def _unchanged(items: Sequence[Item], state: RunState, run: str) -> None:
    """Refuse approval requests that come back with other arguments than they were asked with: the call runs
    as it was asked. Raises `BadRequest`."""
    for n, item in enumerate(items):
        if not isinstance(item, ProviderItem) or item.data.get("type") != REQUEST:
            continue
        position = ids.item_position(str(item.data.get("id", "")))
        if position is None or position[0] != run or position[1] >= len(state.items):
            continue
        call = state.items[position[1]].content
        for name in ("name", "arguments"):
            told = item.data.get(name)
            if isinstance(call, ToolCall) and told not in (None, getattr(call, name)):
                raise changed(f"input[{n}].{name}")


def changed(place: str) -> BadRequest:
    """What an answer that changes its call is told."""
    return BadRequest(f"{place} was changed; a call runs as it was asked about.", param=place)


def _answers(item: Item) -> TypeGuard[ProviderItem | ToolOutput]:
    """Whether an item may be an answer: to an approval request, or the output of a call."""
    return isinstance(item, ToolOutput) or (
        isinstance(item, ProviderItem) and item.data.get("type") == APPROVAL
    )


def _is_known(output: ToolOutput, state: RunState) -> bool:
    """Whether the run, or what came before it, has the call of an output."""
    calls = (item.content for item in state.items)
    request = state.started()
    return any(
        isinstance(call, ToolCall) and call.call_id == output.call_id
        for call in (*calls, *request.history, *request.input)
    )


async def _record(
    stored: StoredRuns,
    request: RunRequest,
    items: Sequence[ProviderItem | ToolOutput],
    who: Owner,
) -> RunRecord | None:
    """The run that asked: named by a request's id, or the previous response's, or the conversation's last."""
    names = [request.previous] if request.previous else []
    for item in items:
        position = ids.item_position(_asked(item)) if isinstance(item, ProviderItem) else None
        if position is not None:
            names.append(position[0])
    for name in names:
        try:
            return await stored.directory.find(name, who)
        except NotFound:
            continue
    if not request.conversation:
        return None
    found = await stored.conversations.get(request.conversation, who)
    return await anext(stored.conversations.runs(found), None)


def _answer(item: ProviderItem | ToolOutput, state: RunState, run: str, where: str) -> One | None:
    if isinstance(item, ToolOutput):
        return _reply(item, state) or _handed(item, state)
    position = ids.item_position(_asked(item))
    number = position[1] if position is not None else attribution.item_number(_asked(item))
    if number is None:
        return None
    if position is not None and position[0] != run:
        place = f"{where}.approval_request_id"
        raise BadRequest(f"{place} is of another response.", param=place)
    only(item.data, ANSWER_KEYS, where)
    approved = item.data.get("approve")
    if not isinstance(approved, bool):
        raise BadRequest(f"{where}.approve must be a boolean.", param=f"{where}.approve")
    words = optional(item.data, "reason", str, default="", where=where)
    return Approval(number, approved, words, ids.asked_time(_asked(item)))


def _reply(output: ToolOutput, state: RunState) -> Reply | Declined | None:
    """The output of a call that is a question; else of one that was answered already, to be refused."""
    found: list[InputRequested] = []
    for question in state.questions.values():
        call = None if question.item is None else state.items[question.item].content
        if isinstance(call, ToolCall) and call.call_id == output.call_id:
            found.append(question)
    found.sort(key=lambda question: state.asks[question.request_id] != "asked")
    if not found:
        return None
    words = text_of(output.output)
    return Declined(found[0].request_id, words) if output.is_error else reply(found[0], words)


def _handed(output: ToolOutput, state: RunState) -> Output | None:
    """The output of a tool of the client's that was called beside what the run waits for."""
    if state.phase != "waiting":
        return None  # a turn of its own
    for number, item in enumerate(state.items):
        call = item.content
        if item.tool == "handed" and isinstance(call, ToolCall) and call.call_id == output.call_id:
            return Output(number, text_of(output.output), output.is_error)
    return None


def _asked(item: ProviderItem) -> str:
    return str(item.data.get("approval_request_id", ""))
