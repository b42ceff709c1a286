"""A person's decision about a tool call: the request for it, and its effect on the model's context. Pure.

A call that a person edited stays in the model's history as the model wrote it, because providers sign and
cache replies. So its result begins with a note, as in LangChain's `HumanInTheLoopMiddleware`.
"""

from __future__ import annotations

import msgspec

from tailrace.events.item_state import ItemState
from tailrace.events.items import Json
from tailrace.events.schema_shapes import fault as schema_fault
from tailrace.events.types import ApprovalRequested, Decision
from tailrace.runtimes.tools.contract import ToolResult

MAX_SCHEMA = 65_536
"""Bytes of a schema in an approval request, which is an event of the log."""
ALL: tuple[Decision, ...] = ("approve", "edit", "reject", "respond")


def approval_request(
    number: int, message: str, schema: Json, decisions: tuple[Decision, ...] = ALL
) -> ApprovalRequested:
    """The request for one of `decisions` about call item `number`. `schema` is that of the tool's arguments;
    if edited arguments cannot be checked against it they are not allowed."""
    if schema is not None and (
        len(msgspec.json.encode(schema)) > MAX_SCHEMA or schema_fault(schema)
    ):
        others: list[Decision] = [each for each in decisions if each != "edit"]
        return ApprovalRequested(number, message, tuple(others))
    return ApprovalRequested(number, message, decisions, schema)


def result_without_run(item: ItemState) -> ToolResult | None:
    """The result of a call that a person answered or refused; None for a call that may run, or that no person
    has decided about."""
    decision = item.approval
    if decision is None or decision.approved:
        return None
    if decision.response is not None:
        return ToolResult(decision.response)
    why = f": {decision.reason}" if decision.reason else "."
    return ToolResult(f"A person refused this call{why}", is_error=True)


def with_note(item: ItemState, output: str) -> str:
    """The output of a call, with a note for the model if a person edited the call."""
    if item.edited_arguments is None:
        return output
    note = f"[A person edited this call before it ran. It ran with: {item.edited_arguments}]"
    return f"{note}\n{output}"
