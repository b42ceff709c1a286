"""A UI message that answers: yes or no to a call, or the output of a question's call, by our own ids.

What a message answers is all that its parts say; what is not asked (any more) of it is the past.
"""

from __future__ import annotations

import math
from typing import cast

from tailrace.errors import BadRequest, Expired, NotFound
from tailrace.events import history, ids
from tailrace.events.answers import Answer, Approval, Declined, Reply, given, reply
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.items import Json, ToolCall
from tailrace.events.state import RunState
from tailrace.protocols.ai_sdk_ui.messages import PartResult, ShownCall
from tailrace.protocols.ai_sdk_ui.request import SendUiMessages
from tailrace.protocols.ai_sdk_ui.wire import arguments
from tailrace.protocols.fields import Object
from tailrace.runs.owner import Owner
from tailrace.service.answers import Answering, answered_before, changed
from tailrace.service.stored_runs import StoredRuns


async def answering(stored: StoredRuns, asked: SendUiMessages, who: Owner) -> Answering | None:
    """The run that is answered, what, and what the user says besides; None when nothing that is asked is
    answered, or was by a turn that said something else.

    Raises `BadRequest` for an approval of nothing that this server asked, or of a call whose input the
    message shows otherwise.
    """
    placed = [(each, place) for each in asked.given if (place := ids.item_position(each.id))]
    for each in asked.given:
        if each.approved is not None and ids.item_position(each.id) is None and not asked.past:
            raise BadRequest(
                f"There is no approval request with the id '{each.id}'.", param=each.where
            )
    if not placed:
        return None
    run = next((place[0] for each, place in placed if each.approved is not None), placed[-1][1][0])
    try:
        record = await stored.directory.find(run, who)
        await stored.until_settled(record.run, "The run that asked", "messages")
        state = await stored.directory.state(record.run)
    except (NotFound, Expired):
        if not asked.past and any(each.approved is not None for each, _ in placed):
            raise
        return None  # outputs of a run that is gone: the messages tell what it was
    for each, (of, number) in placed:
        call = asked.shown.get(ids.item_id("call", of, number))
        if each.approved is not None and of == run and call is not None:
            _check_input(call, number, state)
    answers = [_answer(each, number, state) for each, (of, number) in placed if of == run]
    found: Answer = tuple(answer for answer in answers if answer is not None)
    if asked.past:
        found = await _not_stale(stored, run, state, found)
    if not found:
        return None
    told = (*asked.request.history, *asked.request.input)
    said = history.said_besides(state.started(), told, whole=asked.told)
    turn = Answering(record.run, record.agent, found, said)
    return None if await answered_before(stored, turn) else turn


async def _not_stale(stored: StoredRuns, run: str, state: RunState, found: Answer) -> Answer:
    """Of answers that stand in an earlier message: those that somebody waits for, or that were given so."""
    events = await stored.directory.events(run)
    return tuple(
        answer
        for answer in found
        if not isinstance(answer, Approval)
        or _is_asked(state, answer)
        or given(events, (answer,)) is not None
    )


def _is_asked(state: RunState, answer: Approval) -> bool:
    item = state.items[answer.item] if answer.item < len(state.items) else None
    return item is not None and item.tool in ASKED_TOOL and item.asked == answer.asked


def _answer(said: PartResult, number: int, state: RunState) -> Approval | Reply | Declined | None:
    if said.approved is not None:
        return Approval(number, said.approved, said.text, ids.asked_time(said.id))
    for name, question in state.questions.items():
        if question.item == number and state.asks[name] == "asked":
            return Declined(name, said.text) if said.failed else reply(question, said.text)
    return None


def _check_input(told: ShownCall, number: int, state: RunState) -> None:
    """Refuse a yes or no to a call whose input the client has changed. Raises `BadRequest`."""
    call = state.items[number].content if number < len(state.items) else None
    if isinstance(call, ToolCall):
        asked = arguments(call.arguments, custom=call.custom)
        if _in_javascript(told.input) != _in_javascript(asked):
            raise changed(told.where)


def _in_javascript(value: Json) -> Json:
    """A value with the numbers that a client in JavaScript sends back: all are doubles."""
    if isinstance(value, dict):
        return {name: _in_javascript(each) for name, each in cast("Object", value).items()}
    if isinstance(value, list):
        return list(map(_in_javascript, cast("list[Json]", value)))
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < _MOST else math.inf
    return value


_MOST = 2**1023
