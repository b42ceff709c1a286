"""Turns of a session: a message to a session whose run waits is the answer to its question."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.errors import NotFound
from tailrace.events.answers import AnswerPlace, Reply, answer_place, reply
from tailrace.events.items import Message, text_of
from tailrace.protocols.fields import unsupported_field
from tailrace.protocols.session_lines import stream
from tailrace.protocols.session_lines.request import SessionRequest
from tailrace.runs.conversations import Conversation
from tailrace.runs.owner import Owner
from tailrace.service.answers import require_same_agent
from tailrace.service.caller import Caller
from tailrace.service.run_service import RunService


async def find_run(
    service: RunService, owner: Owner, conversation: str, run: str | None = None
) -> str:
    """The run of a session's latest turn, or with `run` that one; `""` if there is none."""
    try:
        session = await service.conversations.get(conversation, owner)
    except NotFound:
        return ""
    async for record in service.conversations.runs(session):
        if run in (None, record.run):
            return record.run
    return ""


async def answer(
    service: RunService,
    caller: Caller,
    create: SessionRequest,
    session: Conversation,
    agent: str,
    body: bytes,
) -> tuple[str, int] | None:
    """Answer the question for which a session waits. Returns its run and the number of the first line after
    the answer; None for a message that starts a run.

    The log has the question; the run's record has it a moment later. A message that started a run and is sent
    again is no answer to a question of that run. Raises as `RunService.answer`, and `BadRequest` for fields
    that an answer cannot have.
    """
    submission = await caller.repeatable_submission(body)
    claim = None if submission is None else await service.runs.supervisor.find_claim(submission)
    if claim is not None and not claim.answers:
        return None
    run_before = "" if claim is None else claim.run
    run = run_before or await find_run(service, caller.maker, session.id)
    record = await service.runs.directory.record(run) if run else None
    if record is None or not (run_before or record.status in ("in_progress", "waiting")):
        return None
    state = await service.state(run)
    phases = ("asked", "answered") if run_before else ("asked",)
    names = [name for name, phase in state.asks.items() if phase in phases]
    if not names:
        return None
    if create.unknown:
        raise unsupported_field(create.unknown[0])
    if create.agent:
        require_same_agent(record.agent, agent, "agentId")
    (message,) = create.request.input
    text = text_of(message.content) if isinstance(message, Message) else ""
    answers = [reply(state.questions[name], text) for name in names]
    place = await _place(service, caller, run, answers, body)
    events = await service.events(run)
    lines = stream.SessionEncoder(run, stream.SessionStreamOptions()).encode(events[: place.seq])
    return run, len(lines)


async def _place(
    service: RunService, caller: Caller, run: str, answers: Sequence[Reply], body: bytes
) -> AnswerPlace:
    """Where the log has a message as an answer: at the last question that it answered before, else at the
    first open one, which it answers now."""
    events = await service.events(run)
    for answer in reversed(answers):
        if (place := answer_place(events, (answer,))) is not None:
            return place
    return await service.answer(caller, run, (answers[0],), body)
