"""AG-UI's turns: a request with `resume` continues a run, and a `runId` names one or a turn of one.

Ids of interrupts name the run that asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from tailrace.errors import BadRequest, Conflict, NotFound, Unprocessable
from tailrace.events import history, ids
from tailrace.events.answers import Approval, Decline, Reply
from tailrace.events.items import Json
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.protocols.ag_ui.request import Resume, RunAgentInput
from tailrace.protocols.ag_ui.wire import APPROVAL, QUESTION, SURFACE
from tailrace.protocols.decisions import CallDecision, DecisionKeys, decode_decision
from tailrace.protocols.fields import any_object, as_object, only, optional
from tailrace.runs.conversations import named_id
from tailrace.runs.owner import Owner
from tailrace.service.answers import Answering, require_same_agent
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService
from tailrace.service.stored_runs import StoredRuns

NO_ANSWER = "They did not answer."
"""The output of a question's call when its interrupt is `cancelled`."""


async def start(service: RunService, caller: Caller, request: RunRequest, body: bytes) -> str:
    """Start the run that the request's `threadId` and `runId` name, or find it. Raises `Unprocessable` if
    that was another request, and as `RunService.start`."""
    key = msgspec.json.encode((SURFACE, request.session, request.client_names)).decode()
    try:
        run, _ = await service.start(caller, request, body, whole=True, outcomes=True, key=key)
    except Unprocessable as error:
        raise _name_reused(request) if error.code == "idempotency_key_reused" else error from None
    return run


async def resume(
    service: RunService, caller: Caller, create: RunAgentInput, request: RunRequest, body: bytes
) -> tuple[str, int]:
    """Continue the run whose interrupts `create.resume` answers, now or when the same request came before.
    Returns the run and the turn that the answers began. Raises as `find_answer` and `RunService.answer`."""
    answering = await find_answer(service.runs, create, caller.owner)
    run = answering.run
    require_same_agent(answering.agent, request.agent)
    request = msgspec.structs.replace(request, input=answering.messages)
    try:
        place = await service.answer(
            caller, run, answering.answer, body, request, answering.messages
        )
    except Conflict:
        turn = _turn(await service.state(run), request)
        if turn is None:
            raise
        return run, turn
    turn = _turn(await service.state(run), request)
    if turn is None and place.is_repeated:
        raise Conflict("Another run has answered this already.", code="already_answered")
    return run, place.turn if turn is None else turn


async def find_named(service: RunService, owner: Owner, thread: str, name: str) -> str:
    """The run of a thread whose `runId`, or the one of a turn of it, is `name`. Raises `NotFound`."""
    runs = await _runs(service, thread, owner)
    for run in (
        runs
    ):  # most often it is the first request of a run, and the rest of its log need not be read
        with suppress(NotFound):
            if (await service.request(run)).client_names == name:
                return run
    for run in runs:
        try:
            state = await service.state(run)
        except NotFound:
            continue
        requests = (state.start_request(), *(each.request for each in state.resumptions))
        if any(each is not None and each.client_names == name for each in requests):
            return run
    raise NotFound(
        f"There is no run '{name}' in thread '{thread}'.", param="runId", code="not_found"
    )


async def _runs(service: RunService, thread: str, owner: Owner) -> Sequence[str]:
    """The runs of a thread, the newest first."""
    try:
        conversation = await service.conversations.get(named_id(thread, owner), owner)
    except NotFound:
        return []
    return [entry.run for entry in reversed(conversation.entries) if entry.run]


def _turn(state: RunState, request: RunRequest) -> int | None:
    """The turn that this request began. Raises `Unprocessable` for another request of its name."""
    for number, resumption in enumerate(state.resumptions, 1):
        other = resumption.request
        if other is not None and (other.session, other.client_names) == (
            request.session,
            request.client_names,
        ):
            if other != request:
                raise _name_reused(request)
            return number
    return None


def _name_reused(request: RunRequest) -> Unprocessable:
    return Unprocessable(
        f"Run '{request.client_names}' of thread '{request.session}' was another request.",
        param="runId",
        code="run_id_reused",
    )


async def find_answer(runs: StoredRuns, create: RunAgentInput, owner: Owner) -> Answering:
    """The run that `create.resume` answers, the answers, and new messages of the user. Raises `BadRequest`,
    `NotFound`, `Expired`, and `Conflict` where messages have waited too long for the run's next pause."""
    param = create.resume[0].where + ".interruptId"
    names = {_position(entry)[0] for entry in create.resume}
    if len(names) > 1:
        raise BadRequest("The interrupts are of different runs.", param=param)
    record = await runs.directory.find(names.pop(), owner)
    state = await runs.directory.state(record.run)
    answers = tuple(_answer(entry, state) for entry in create.resume)
    messages = history.said_besides(state.start_request(), create.messages, whole=True)
    if messages:
        await runs.until_settled(record.run, "The run that asked", "resume")
    return Answering(record.run, record.agent, answers, messages)


def _position(entry: Resume) -> tuple[str, int]:
    kind = entry.interrupt.partition("_")[0]
    position = ids.item_position(entry.interrupt)
    if position is None or kind not in (APPROVAL, QUESTION):
        raise BadRequest(
            f"There is no question with the id '{entry.interrupt}'.",
            param=entry.where + ".interruptId",
        )
    return position


def _answer(entry: Resume, state: RunState) -> Approval | Reply | Decline:
    number = _position(entry)[1]
    if entry.interrupt.startswith(APPROVAL):
        time = ids.asked_time(entry.interrupt)
        if entry.status == "cancelled":
            return Approval(number, approved=False, reason=_reason(entry), occurrence=time)
        return _decision(entry.payload, entry.where + ".payload").approval(number, time)
    questions = list(state.questions.values())
    if number >= len(questions):
        raise BadRequest(
            f"There is no question with the id '{entry.interrupt}'.",
            param=entry.where + ".interruptId",
        )
    question = questions[number]
    if entry.status == "cancelled":
        return Decline(question.request_id, _reason(entry) or NO_ANSWER)
    return Reply(question.request_id, entry.payload)


def _decision(payload: Json, where: str) -> CallDecision:
    """A decision, or the bare boolean."""
    if isinstance(payload, bool):
        return CallDecision(payload)
    return decode_decision(any_object(payload), where, DecisionKeys(arguments="editedArgs"))


def _reason(entry: Resume) -> str:
    """The reason in the payload of a cancelled interrupt; any other key is refused."""
    where = entry.where + ".payload"
    if entry.payload is None:
        return ""
    fields = as_object(entry.payload, where)
    only(fields, ("reason",), where)
    return optional(fields, "reason", str, default="", where=where)
