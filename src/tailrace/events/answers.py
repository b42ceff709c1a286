"""What people and clients answer, as drafts for the run that asked. Pure.

A run asks for three things: a yes to a tool call, an answer to a question, and the output of a tool that
the client runs while the rest of the run waits. Each is named by the ordinal of its call or by its id.
"""

from __future__ import annotations

from typing import TypeAlias, assert_never

from msgspec import Struct

from tailrace.errors import Conflict
from tailrace.events.grammar import ASKED_TOOL
from tailrace.events.items import Json
from tailrace.events.state import RunState
from tailrace.events.types import ApprovalResolved, Draft, InputReceived, ToolCompleted


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """A yes or no to the tool call of item `item`."""

    item: int
    approved: bool
    reason: str = ""


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to question `request_id`: whatever JSON it asked for."""

    request_id: str
    value: Json = None


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    """What the client's tool answered to the call of item `item`, while the rest of the run waits."""

    item: int
    output: str
    is_error: bool = False


Answer: TypeAlias = tuple[Approval | Reply | Output, ...]
"""One or more answers that belong together: all count, or none."""


def drafts(state: RunState, answer: Answer) -> list[Draft]:
    """The drafts that fold an answer in. Raises `Conflict` for what is not, or no longer, asked."""
    names = [each.request_id if isinstance(each, Reply) else each.item for each in answer]
    if len(set(names)) < len(names):
        raise Conflict("The same question is answered twice.", code="already_answered")
    return [_draft(state, each) for each in answer]


def _draft(state: RunState, answer: Approval | Reply | Output) -> Draft:
    match answer:
        case Approval():
            known = 0 <= answer.item < len(state.items)
            item = state.items[answer.item] if known else None
            if item is None or item.tool not in ASKED_TOOL:
                raise Conflict("Nobody asks for this approval any more.", code="already_answered")
            resolved = ApprovalResolved(answer.item, answer.approved, answer.reason)
            return Draft(resolved, item.node, item.agent)
        case Reply():
            if state.asks.get(answer.request_id) != "asked":
                raise Conflict("Nobody asks this any more.", code="already_answered")
            return Draft(InputReceived(answer.request_id, answer.value))
        case Output():
            known = 0 <= answer.item < len(state.items)
            item = state.items[answer.item] if known else None
            if item is None or item.tool != "handed":
                raise Conflict("Nobody waits for this output any more.", code="already_answered")
            completed = ToolCompleted(answer.item, answer.output, answer.is_error)
            return Draft(completed, item.node, item.agent)
        case _:
            assert_never(answer)
