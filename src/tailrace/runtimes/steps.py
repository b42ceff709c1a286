"""The next step of an agent, decided from the log alone. Pure.

Continuing after a crash, continuing after a pause, and continuing without either are the same decision over
the same state. So no other state can be lost: a complete reply or tool result is in the log and is not
produced again.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.events.item_state import ItemState
from tailrace.events.items import ToolCall
from tailrace.events.state import RunState
from tailrace.events.types import ApprovalRequested, ToolCompleted
from tailrace.protocols.cut_calls import CUT, NOTHING, is_whole
from tailrace.runtimes.decisions import approval_request, result_without_run
from tailrace.runtimes.tools.contract import Tool
from tailrace.runtimes.tools.dispatch import TASK, Question

INTERRUPTED = "The server stopped while this tool ran; whether it took effect is unknown."
CUT_OFF = "The call was cut off."
AT_LIMIT = "Not run: the reply came to its limit before this call was whole."


class NextStep(Struct, frozen=True):
    """The next step of an invocation; `calls` are the items of the tool calls that it concerns."""

    kind: Literal["ask", "tools", "end"]
    calls: tuple[int, ...] = ()


def next_step(state: RunState, agent: str) -> NextStep:
    """The next step of one invocation."""
    mine = [(n, item) for n, item in enumerate(state.items) if item.agent == agent and item.reply]
    pending = tuple(n for n, item in mine if item.tool in PENDING_TOOL)
    if pending:
        return NextStep("tools", pending)
    last = state.replies.get(agent, 0)
    if last == 0:
        return NextStep("ask")
    tools = [item.tool for _, item in mine if item.reply == last]
    return NextStep("ask" if "done" in tools and "handed" not in tools else "end")


class WaitForAnswer(Struct, frozen=True):
    """A person was asked and has not answered."""


class Answer(Struct, frozen=True):
    """The call is completed without a run."""

    event: ToolCompleted


class AskApproval(Struct, frozen=True):
    """A person must decide about the call first."""

    request: ApprovalRequested


class AskUser(Struct, frozen=True):
    """The model asks a person."""

    question: Question


class RunTools(Struct, frozen=True):
    """Call the tool."""


class Dispatch(Struct, frozen=True):
    """Let a subagent start or continue."""


Move: TypeAlias = WaitForAnswer | Answer | AskApproval | AskUser | RunTools | Dispatch


def next_move(state: RunState, number: int, tool: Tool | None, subagents: frozenset[str]) -> Move:
    """The next move for one pending call; `tool` is None for a name that no tool has."""
    item = state.items[number]
    call = item.call()
    if call is None:
        return _answer(number, CUT_OFF)
    if item.tool in ASKED_TOOL:
        return WaitForAnswer()
    if _is_cut(state, number, call):
        return _answer(number, AT_LIMIT)
    if call.name == TASK and subagents:
        return Dispatch()
    if item.started.waits_for == "answer":
        return _question(state, number, call)
    if tool is None:
        return _answer(number, f"There is no tool named {call.name}.")
    return _permission(number, item, call, tool)


def _is_cut(state: RunState, number: int, call: ToolCall) -> bool:
    """Whether a limit cut a call off. A cut call of our tools gets an error result, so that the model can
    correct it."""
    item = state.items[number]
    if state.finishes.get(item.agent) not in CUT:
        return False
    last = all(other.agent != item.agent for other in state.items[number + 1 :])
    if call.custom or call.arguments.strip() == NOTHING:
        return last
    return not is_whole(call.arguments)


def _permission(number: int, item: ItemState, call: ToolCall, tool: Tool) -> Move:
    """Whether a tool of ours may run, or run again."""
    cut_off = item.tool == "interrupted"
    asks = tool.after_crash == "ask" if cut_off else tool.approval
    if cut_off and tool.after_crash == "tell":
        return _answer(number, INTERRUPTED)
    if not asks:
        return RunTools()
    if item.approval is None:
        again = f" again? {INTERRUPTED}" if cut_off else "?"
        message = f"Run {call.name}({call.arguments}){again}"
        return AskApproval(approval_request(number, message, tool.spec.parameters))
    result = result_without_run(item)
    if result is None:
        return RunTools()
    if cut_off and result.is_error:
        return _answer(number, INTERRUPTED)
    return Answer(ToolCompleted(number, result.cut().output, result.is_error))


def _question(state: RunState, number: int, call: ToolCall) -> Move:
    name = question_id(number)
    match state.asks.get(name, "absent"):
        case "absent":
            try:
                return AskUser(msgspec.json.decode(call.arguments or "{}", type=Question))
            except msgspec.MsgspecError as error:
                return _answer(number, f"The arguments do not fit: {error}")
        case "asked":
            return WaitForAnswer()
        case _:
            value = state.answers[name]
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            return Answer(ToolCompleted(number, text))


def question_id(number: int) -> str:
    """The name of the question that call item `number` asks."""
    return f"ask_{number}"


def _answer(number: int, text: str) -> Answer:
    return Answer(ToolCompleted(number, text, is_error=True))
