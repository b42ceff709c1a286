"""AG-UI's `resume`: interrupts that are answered, found by their ids, which name the run that asked."""

from __future__ import annotations

from tailrace.errors import BadRequest
from tailrace.events import history, ids
from tailrace.events.answers import Approval, Declined
from tailrace.events.answers import Reply as Answered
from tailrace.events.items import Json
from tailrace.events.state import RunState
from tailrace.protocols.ag_ui.request import Resume, RunAgentInput
from tailrace.protocols.ag_ui.wire import APPROVAL, QUESTION
from tailrace.protocols.fields import any_object, as_object, only, optional
from tailrace.runs.owner import Owner
from tailrace.service.answers import Answering
from tailrace.service.stored_runs import StoredRuns

ABANDONED = "They did not answer."
"""What a question's call gets for an answer when the interrupt is `cancelled`."""


async def answering(stored: StoredRuns, create: RunAgentInput, who: Owner) -> Answering:
    """The run that is answered, what, and what the user says besides. Raises `BadRequest`, `NotFound`,
    `Expired`, and `Conflict` where messages have waited too long for the run's next pause."""
    resume = create.resume
    asked = resume[0].where + ".interruptId"
    runs = {_position(entry)[0] for entry in resume}
    if len(runs) > 1:
        raise BadRequest("The interrupts are of different runs.", param=asked)
    record = await stored.directory.find(runs.pop(), who)
    state = await stored.directory.state(record.run)
    answers = tuple(_answer(entry, state) for entry in resume)
    said = history.said_besides(state.started(), create.messages, whole=True)
    if said:
        await stored.until_settled(record.run, "The run that asked", "resume")
    return Answering(record.run, record.agent, answers, said)


def _position(entry: Resume) -> tuple[str, int]:
    kind = entry.interrupt.partition("_")[0]
    position = ids.item_position(entry.interrupt)
    if position is None or kind not in (APPROVAL, QUESTION):
        raise BadRequest(
            f"There is no question with the id '{entry.interrupt}'.",
            param=entry.where + ".interruptId",
        )
    return position


def _answer(entry: Resume, state: RunState) -> Approval | Answered | Declined:
    number = _position(entry)[1]
    if entry.interrupt.startswith(APPROVAL):
        time = ids.asked_time(entry.interrupt)
        if entry.status == "cancelled":
            return Approval(number, approved=False, reason=_why(entry), asked=time)
        approved, reason = _yes_or_no(entry.payload, entry.where + ".payload")
        return Approval(number, approved, reason, time)
    questions = list(state.questions.values())
    if number >= len(questions):
        raise BadRequest(
            f"There is no question with the id '{entry.interrupt}'.",
            param=entry.where + ".interruptId",
        )
    asked = questions[number]
    if entry.status == "cancelled":
        return Declined(asked.request_id, _why(entry) or ABANDONED)
    return Answered(asked.request_id, entry.payload)


def _yes_or_no(payload: Json, where: str) -> tuple[bool, str]:
    """`{approved, reason?}`, or the bare boolean."""
    if isinstance(payload, bool):
        return payload, ""
    fields = any_object(payload)
    only(fields, ("approved", "reason"), where)
    approved = fields.get("approved")
    if not isinstance(approved, bool):
        raise BadRequest(f"{where}.approved must be a boolean.", param=f"{where}.approved")
    return approved, optional(fields, "reason", str, default="", where=where)


def _why(entry: Resume) -> str:
    """The reason that a cancelled interrupt gives in its payload, which can say nothing else."""
    where = entry.where + ".payload"
    if entry.payload is None:
        return ""
    fields = as_object(entry.payload, where)
    only(fields, ("reason",), where)
    return optional(fields, "reason", str, default="", where=where)
