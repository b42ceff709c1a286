"""A turn that answers: approvals and questions of a waiting run, found in the input of a new response.

Only what stands at the end of the input counts: earlier answers are history that a client sends again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tailrace.errors import NotFound
from tailrace.events import ids
from tailrace.events.answers import Answer, Approval, Output, Reply
from tailrace.events.items import Item, ProviderItem, ToolCall, ToolOutput, text_of
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.http.parts import Parts
from tailrace.http.turns import until_settled
from tailrace.protocols import attribution
from tailrace.runs.owner import Owner

APPROVAL = "mcp_approval_response"


class Answering(Struct, frozen=True):
    """The run that is answered, and what."""

    run: str
    answer: Answer


async def answering(parts: Parts, request: RunRequest, who: Owner) -> Answering | None:
    """What a request answers, or None for a request that starts a run of its own."""
    last = _at_the_end(request.input)
    if not last:
        return None
    run = await _run(parts, request, last, who)
    if run is None:
        return None
    await until_settled(parts, run, "The response that asked", "previous_response_id")
    state = await parts.directory.state(run)
    answers = [_answer(item, state) for item in last]
    found = tuple(answer for answer in answers if answer is not None)
    return Answering(run, found) if found else None


def _at_the_end(items: Sequence[Item]) -> list[ProviderItem | ToolOutput]:
    found: list[ProviderItem | ToolOutput] = []
    for item in reversed(items):
        if isinstance(item, ToolOutput) or (
            isinstance(item, ProviderItem) and item.data.get("type") == APPROVAL
        ):
            found.insert(0, item)
        else:
            break
    return found


async def _run(
    parts: Parts,
    request: RunRequest,
    items: Sequence[ProviderItem | ToolOutput],
    who: Owner,
) -> str | None:
    """The run that asked: named by a request's id, or the previous response's."""
    names = [request.previous] if request.previous else []
    for item in items:
        position = ids.item_position(_asked(item)) if isinstance(item, ProviderItem) else None
        if position is not None:
            names.append(position[0])
    for name in names:
        try:
            return (await parts.directory.find(name, who)).run
        except NotFound:
            continue
    return None


def _answer(item: ProviderItem | ToolOutput, state: RunState) -> Approval | Reply | Output | None:
    if isinstance(item, ToolOutput):
        return _reply(item, state) or _handed(item, state)
    number = _number(_asked(item))
    if number is None:
        return None
    reason = item.data.get("reason")
    approved = item.data.get("approve") is True
    return Approval(number, approved, reason if isinstance(reason, str) else "")


def _reply(output: ToolOutput, state: RunState) -> Reply | None:
    """The output of a call that was a question; one that was answered already, to be refused."""
    for name, question in state.questions.items():
        if question.item is None:
            continue
        call = state.items[question.item].content
        if isinstance(call, ToolCall) and call.call_id == output.call_id:
            return Reply(name, text_of(output.output))
    return None


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


def _number(request_id: str) -> int | None:
    position = ids.item_position(request_id)
    return position[1] if position is not None else attribution.item_number(request_id)
