"""The payloads of requests to a person, and of the answers; `types.py` has the others and their union."""

from __future__ import annotations

from typing import Literal

from tailrace.events.items import Json
from tailrace.events.payload import Base

ASK_USER = "ask_user"
"""The tool by which a model asks a person, and the call that shows a question on surfaces of calls."""
QUESTION = "ask"
"""The prefix of `call_id` of a question."""
Decision = Literal["approve", "edit", "reject", "respond"]


class ApprovalRequested(Base, frozen=True, tag="approval.requested"):
    """Call item `item` waits for a person's decision: one of `decisions` (empty in logs of 0.1: any).
    `schema` is the JSON schema of edited arguments; without one, any object is accepted."""

    item: int
    message: str = ""
    decisions: tuple[Decision, ...] = ()
    schema: Json = None


class ApprovalResolved(Base, frozen=True, tag="approval.resolved"):
    """A person decided about call item `item`: approved it, with `arguments` edited it, with `response` gave
    the result in place of its tool, or rejected it. `by` is the user who decided, or the id of
    the token; `""` if unknown."""

    item: int
    approved: bool
    reason: str = ""
    arguments: str | None = None
    response: str | None = None
    by: str = ""

    @property
    def decision(self) -> Decision:
        """The kind of the decision."""
        if self.response is not None:
            return "respond"
        if not self.approved:
            return "reject"
        return "approve" if self.arguments is None else "edit"


class InputRequested(Base, frozen=True, tag="input.requested"):
    """A question to a person. `schema` describes the answer; `item` is the call that asks, if one does.
    `call_id` is the id of the call of `ask_user` by which surfaces of calls show the question; empty for one
    that its own call shows, and in logs of 0.1."""

    request_id: str
    message: str
    schema: Json = None
    item: int | None = None
    call_id: str = ""


class InputReceived(Base, frozen=True, tag="input.received"):
    """The answer to `input.requested`. `by` is as in `approval.resolved`."""

    request_id: str
    value: Json = None
    by: str = ""
