"""A run as the past of the next model call or of the next turn.

What was shown and what is remembered differ in one point: the leftovers of a model reply whose worker
died were shown, but the model never finished saying them, so nobody remembers them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.events.grammar import PENDING_TOOL
from tailrace.events.items import Item, TextPart, ToolCall, ToolOutput
from tailrace.events.parts import ItemState
from tailrace.events.state import RunState
from tailrace.events.types import MAIN

UNANSWERED = "Not run so far: it waits for a person."


def made_by(state: RunState, agent: str = MAIN, after: int = 0) -> tuple[Item, ...]:
    """What `agent` said and learnt in this run, reply by reply: its items, then its tools' outputs.

    Replies up to number `after` are left out.
    """
    replies: dict[int, list[ItemState]] = {}
    for item in state.items:
        if item.agent == agent and item.reply > after:
            replies.setdefault(item.reply, []).append(item)
    return tuple(thing for number in sorted(replies) for thing in _reply(replies[number]))


def conversation(
    state: RunState, agent: str = MAIN, told: tuple[Item, ...] | None = None
) -> tuple[Item, ...]:
    """Everything the agent knows: what it was told, and what came of it; or what stands in for that.

    `told` is by default the run's own: earlier turns and this turn's input.
    """
    if agent in state.compactions:
        replies, replacement = state.compactions[agent]
        return (*replacement, *made_by(state, agent, after=replies))
    if told is None:
        request = state.started()
        told = (*request.history, *request.input)
    return (*told, *made_by(state, agent))


def _reply(items: list[ItemState]) -> Iterator[Item]:
    for item in items:
        if item.content is not None and (item.status == "completed" or not _is_call(item)):
            yield item.content
    for item in items:
        if not isinstance(item.content, ToolCall):
            continue
        if item.output is not None:
            yield _output(item.content, item.output.output, is_error=item.output.is_error)
        elif item.tool in PENDING_TOOL:  # the run waits, and somebody goes on from here without it
            yield _output(item.content, UNANSWERED, is_error=True)


def _output(call: ToolCall, text: str, *, is_error: bool) -> ToolOutput:
    return ToolOutput(call_id=call.call_id, output=(TextPart(text),), is_error=is_error)


def _is_call(item: ItemState) -> bool:
    """A cut-off call has no arguments to speak of: no model server takes it back."""
    return item.started.kind == "tool_call"
