"""Turns of an AI SDK chat: UI messages that answer a run, and the run that a chat or a response id names.

Parts of a message answer by this server's ids: an approval of a call, or the output of a question's call. A
part that answers no open question is history.
"""

from __future__ import annotations

import math
from typing import cast

from tailrace.errors import BadRequest, Expired, NotFound
from tailrace.events import history, ids
from tailrace.events.answers import Answer, Approval, Decline, Reply, answer_place, reply
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.items import Json, ToolCall
from tailrace.events.state import RunState
from tailrace.protocols.ai_sdk_ui.messages import PartResult, ShownCall
from tailrace.protocols.ai_sdk_ui.request import SendUiMessages
from tailrace.protocols.ai_sdk_ui.wire import arguments
from tailrace.protocols.fields import Object
from tailrace.runs.conversations import named_id
from tailrace.runs.owner import Owner
from tailrace.service.answers import Answering, answered_before, changed_call
from tailrace.service.run_service import RunService
from tailrace.service.stored_runs import StoredRuns


async def find_run(service: RunService, owner: Owner, chat: str, response: str) -> str | None:
    """The run of a chat that a response id names, or with `""` the chat's last one; None if there is none."""
    try:
        conversation = await service.conversations.get(named_id(chat, owner), owner)
    except NotFound:
        return None
    run = ids.run_suffix(response) if response else None
    async for record in service.conversations.runs(conversation):
        if not response or record.run == run:
            return record.run
    return None


async def find_answer(runs: StoredRuns, create: SendUiMessages, owner: Owner) -> Answering | None:
    """The run that a message answers, the answers, and new messages of the user; None when it answers no open
    question, or an earlier turn gave the same answers with other messages.

    Raises `BadRequest` for an approval of a call that this server did not ask about, or whose input the
    message has changed.
    """
    ours = [(each, place) for each in create.results if (place := ids.item_position(each.id))]
    for each in create.results:
        if each.decision is not None and ids.item_position(each.id) is None and not create.past:
            raise BadRequest(
                f"There is no approval request with the id '{each.id}'.", param=each.where
            )
    if not ours:
        return None
    run = next((place[0] for each, place in ours if each.decision is not None), ours[-1][1][0])
    try:
        record = await runs.directory.find(run, owner)
        await runs.until_settled(record.run, "The run that asked", "messages")
        state = await runs.directory.state(record.run)
    except (NotFound, Expired):
        if not create.past and any(each.decision is not None for each, _ in ours):
            raise
        return None  # outputs of a run that is gone: the messages are its history
    for each, (of, number) in ours:
        call = create.calls.get(ids.item_id("call", of, number))
        if each.decision is not None and of == run and call is not None:
            _check_input(call, number, state)
    answers = [_answer(each, number, state) for each, (of, number) in ours if of == run]
    answer: Answer = tuple(each for each in answers if each is not None)
    if create.past:
        answer = await _not_stale(runs, run, state, answer)
    if not answer:
        return None
    items = (*create.request.history, *create.request.input)
    messages = history.said_besides(state.start_request(), items, whole=create.has_history)
    turn = Answering(record.run, record.agent, answer, messages)
    return None if await answered_before(runs, turn) else turn


async def _not_stale(runs: StoredRuns, run: str, state: RunState, answer: Answer) -> Answer:
    """The answers of an earlier message without stale ones: those to open questions, and those that equal the
    run's."""
    events = await runs.directory.events(run)
    return tuple(
        each
        for each in answer
        if not isinstance(each, Approval)
        or _is_open(state, each)
        or answer_place(events, (each,)) is not None
    )


def _is_open(state: RunState, answer: Approval) -> bool:
    item = state.items[answer.item] if answer.item < len(state.items) else None
    return (
        item is not None and item.tool in ASKED_TOOL and item.approval_requests == answer.occurrence
    )


def _answer(part: PartResult, number: int, state: RunState) -> Approval | Reply | Decline | None:
    if part.decision is not None:
        return part.decision.approval(number, ids.asked_time(part.id))
    for name, question in state.questions.items():
        if question.item == number and state.asks[name] == "asked":
            return Decline(name, part.text) if part.failed else reply(question, part.text)
    return None


def _check_input(call_part: ShownCall, number: int, state: RunState) -> None:
    """Raises `BadRequest` for an approval of a call whose input the client has changed."""
    call = state.items[number].content if number < len(state.items) else None
    if isinstance(call, ToolCall):
        value = arguments(call.arguments, custom=call.custom)
        if _as_doubles(call_part.input) != _as_doubles(value):
            raise changed_call(call_part.where)


def _as_doubles(value: Json) -> Json:
    """A value with its numbers as a client in JavaScript sends them back: all are doubles."""
    if isinstance(value, dict):
        return {name: _as_doubles(each) for name, each in cast("Object", value).items()}
    if isinstance(value, list):
        return list(map(_as_doubles, cast("list[Json]", value)))
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < _MOST else math.inf
    return value


_MOST = 2**1023
