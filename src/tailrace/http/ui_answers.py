"""A UI message that answers: yes or no to a call, or the output of a question's call, by our own ids.

What a message answers is all that its parts say; what is not asked (any more) of it is the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.errors import BadRequest, Expired, NotFound
from tailrace.events import ids
from tailrace.events.answers import Answer, Approval, Declined, Reply, reply
from tailrace.events.state import RunState
from tailrace.http.answers import Answering
from tailrace.http.parts import Parts
from tailrace.http.turns import until_settled
from tailrace.protocols.ai_sdk_ui.messages import Given
from tailrace.runs.owner import Owner


async def answering(parts: Parts, given: Sequence[Given], who: Owner) -> Answering | None:
    """The run that is answered, and what; None when nothing that is asked is answered.

    Raises `BadRequest` for an approval of nothing that this server asked.
    """
    placed = [(each, place) for each in given if (place := ids.item_position(each.id)) is not None]
    for each in given:
        if each.approved is not None and ids.item_position(each.id) is None:
            raise BadRequest(f"No approval was asked by the id '{each.id}'.", param=each.where)
    if not placed:
        return None
    run = next((place[0] for each, place in placed if each.approved is not None), placed[-1][1][0])
    try:
        record = await parts.directory.find(run, who)
        await until_settled(parts, record.run, "The run that asked", "messages")
        state = await parts.directory.state(record.run)
    except (NotFound, Expired):
        if any(each.approved is not None for each, _ in placed):
            raise
        return None  # outputs of a run that is gone: the messages tell what it was
    answers = [_answer(each, number, state) for each, (of, number) in placed if of == run]
    found: Answer = tuple(answer for answer in answers if answer is not None)
    return Answering(record.run, record.agent, found) if found else None


def _answer(given: Given, number: int, state: RunState) -> Approval | Reply | Declined | None:
    if given.approved is not None:
        return Approval(number, given.approved, given.text, ids.asked_time(given.id))
    for name, question in state.questions.items():
        if question.item == number and state.asks[name] == "asked":
            return Declined(name, given.text) if given.failed else reply(question, given.text)
    return None
