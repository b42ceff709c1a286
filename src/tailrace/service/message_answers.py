"""Answers in words: a message of the user after the calls by which a run asks, on surfaces of plain chats
(Chat Completions, Messages).

A chat client without tools shows the text of a question, and sends what the user types next. It names the run
by the calls of `ask_user` in its history, or by its conversation; so one question at a time can be answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import BadRequest, Expired, NotFound
from tailrace.events import history, ids
from tailrace.events.answers import Approval, Reply, reply
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.items import Item, Message, ToolCall, ToolOutput, text_of
from tailrace.events.pauses import ASK_USER
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.protocols import questions
from tailrace.protocols.decisions import decision_of_text
from tailrace.runs.directory import RunRecord
from tailrace.runs.owner import Owner
from tailrace.service.answers import Answering, Place
from tailrace.service.stored_runs import StoredRuns

SURFACES = frozenset({"chat", "messages"})


async def find_message_answer(
    runs: StoredRuns, request: RunRequest, owner: Owner, place: Place
) -> Answering | None:
    """The answer that the user's last message is for a waiting run; None for a request that starts a run of
    its own. Raises `BadRequest` where several questions are open, and for words that do not decide about a
    call."""
    first = history.behind_agents(request.input)
    messages = [(n, item) for n, item in enumerate(request.input) if n >= first]
    if (
        request.surface not in SURFACES
        or not messages
        or not all(isinstance(item, Message) and item.role == "user" for _, item in messages)
    ):
        return None
    call_ids = _open_calls(_last_output(request.input[:first]))
    record = await _record(runs, request, call_ids, owner)
    if record is None:
        return None
    await runs.until_settled(record.run, "The run that asked", "messages")
    state = await runs.directory.state(record.run)
    if not call_ids:
        if state.phase != "waiting":
            return None
        call_ids = _ids_of_open_questions(record.run, state)
    where = place(messages[-1][0])
    if len(call_ids) != 1:
        raise BadRequest(
            f"{len(call_ids)} questions are open: answer each by the output of its call"
            f" ({', '.join(call_ids)}).",
            param=where,
        )
    text = "\n".join(text_of(item.content) for _, item in messages if isinstance(item, Message))
    answer = _answer(call_ids[0], state, record.run, text, where)
    return None if answer is None else Answering(record.run, record.agent, (answer,))


def without_open_calls(request: RunRequest) -> RunRequest:
    """The request without calls of ours that the user answered in words: the question is a text in the
    history too, and model servers refuse a call without an output."""
    if request.surface not in SURFACES or not (call_ids := set(_open_calls(request.input))):
        return request
    items = tuple(
        item
        for item in request.input
        if not (isinstance(item, ToolCall) and item.call_id in call_ids)
    )
    return msgspec.structs.replace(request, input=items)


def _last_output(items: Sequence[Item]) -> Sequence[Item]:
    """The end of a history that an agent made: earlier questions were answered."""
    users = [n for n, item in enumerate(items) if isinstance(item, Message) and item.role == "user"]
    return items[users[-1] + 1 :] if users else items


def _open_calls(items: Sequence[Item]) -> list[str]:
    """The ids of calls by which we asked and that have no output in a client's history."""
    outputs = {item.call_id for item in items if isinstance(item, ToolOutput)}
    return [
        item.call_id
        for item in items
        if isinstance(item, ToolCall)
        and item.name == ASK_USER
        and item.call_id not in outputs
        and ids.item_position(item.call_id) is not None
    ]


async def _record(
    runs: StoredRuns, request: RunRequest, call_ids: Sequence[str], owner: Owner
) -> RunRecord | None:
    """The run of the calls, else the last one of the conversation."""
    for position in map(ids.item_position, call_ids[-1:]):
        try:
            return await runs.directory.find(position[0], owner) if position else None
        except (NotFound, Expired):
            return None
    if not request.conversation:
        return None
    conversation = await runs.conversations.get(request.conversation, owner)
    return await anext(runs.conversations.runs(conversation), None)


def _ids_of_open_questions(run: str, state: RunState) -> list[str]:
    """The ids of the calls that show the open questions of a run."""
    approvals = [
        ids.asked_id(ids.item_id(questions.APPROVAL, run, number), item.approval_requests)
        for number, item in enumerate(state.items)
        if item.tool in ASKED_TOOL and item.approval_requests
    ]
    inputs = [
        questions.call_id(run, question)
        for name, question in state.questions.items()
        if state.asks[name] == "asked"
    ]
    return [*approvals, *inputs]


def _answer(
    call_id: str, state: RunState, run: str, text: str, where: str
) -> Approval | Reply | None:
    position = questions.approval_position(call_id)
    if position is not None:
        decision = decision_of_text(text, where)
        return decision.approval(position[1], ids.asked_time(call_id))
    for question in state.questions.values():
        if questions.call_id(run, question) == call_id:
            return reply(question, text)
    return None
