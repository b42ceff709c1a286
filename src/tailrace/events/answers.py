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
from tailrace.events.types import ApprovalResolved, Draft, InputReceived


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """A yes or no to the tool call of item `item`."""

    item: int
    approved: bool
    reason: str = ""


class Reply(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to question `request_id`: whatever JSON it asked for."""

    request_id: str
    value: Json = None


Answer: TypeAlias = tuple[Approval | Reply, ...]
"""One or more answers that belong together: all count, or none."""


def drafts(state: RunState, answer: Answer) -> list[Draft]:
    """The drafts that fold an answer in. Raises `Conflict` for what is not, or no longer, asked."""
    names = [each.item if isinstance(each, Approval) else each.request_id for each in answer]
    if len(set(names)) < len(names):
        raise Conflict("The same question is answered twice.", code="already_answered")
    return [_draft(state, each) for each in answer]


def _draft(state: RunState, answer: Approval | Reply) -> Draft:
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
        case _:
            assert_never(answer)
