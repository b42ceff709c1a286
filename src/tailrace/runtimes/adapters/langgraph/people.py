"""Interrupts of a graph as approvals and questions of the run, and the answers as the graph reads them.

`HumanInTheLoopMiddleware` interrupts for calls, a batch or one by one; these become approvals. Any other
interrupt is a question: of the call it came up in, or of no call. An interrupt's id is the same whenever it
comes up again, so a question is asked once and its answer found by the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from langgraph.types import Interrupt

from tailrace.events import types as t
from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.events.items import Json
from tailrace.runtimes.adapters.langgraph.saver import Saver
from tailrace.runtimes.adapters.playback import Member, PlaybackTeam, refusal
from tailrace.runtimes.node_lifecycle import NODE
from tailrace.runtimes.structured import question_schema

QUESTION = "interrupt_{}"
BREAKPOINT = "breakpoint_{}"


class People:
    """Asks people for a run's graphs."""

    def __init__(self, team: PlaybackTeam, saver: Saver) -> None:
        self._team = team
        self._state = team.context.state
        self._saver = saver
        self._interrupts: set[str] = set()

    def answers(self) -> dict[str, Any]:
        """All answers so far, by interrupt. Calls that people refused are completed with this."""
        answers: dict[str, Any] = {}
        for id, numbers in self._saver.approvals.items():
            items = [self._state.items[number] for number in numbers]
            if any(item.approval is None for item in items):
                continue
            decisions = [self._decision(number) for number in numbers]
            batch = id not in self._saver.single
            answers[id] = {"decisions": decisions} if batch else decisions[0]
        start = QUESTION.format("")
        for name, value in self._state.answers.items():
            if name.startswith(start):
                answers[name.removeprefix(start)] = value
        return answers

    async def go_on(self, number: int) -> bool:
        """A call begins again; whether it had stopped for a question, and was not cut off after it."""
        questions = [id for id, each in self._state.questions.items() if each.item == number]
        answers = sum(self._state.asks[id] == "answered" for id in questions)
        was_interrupted = answers < len(questions) or answers > self._saver.read.get(number, 0)
        await self._saver.keep_read(number, answers)
        return was_interrupted

    async def ask(self, agent: Member, interrupt: Interrupt, number: int | None) -> None:
        """Ask a person, unless the interrupt was asked about before."""
        if interrupt.id in self._interrupts:
            return
        self._interrupts.add(interrupt.id)
        numbers, single = _calls(agent, cast("object", interrupt.value))
        if numbers:
            await self._saver.keep_approvals(interrupt.id, numbers, single=single)
            for each in numbers:
                self._ask_approval(agent, each)
            return
        name = QUESTION.format(interrupt.id)
        if name not in self._state.asks:
            message = _question(cast("object", interrupt.value))
            schema = question_schema(cast("Json", interrupt.response_schema))
            agent.emit(t.InputRequested(name, message, schema, number))

    def answered_interrupts(self) -> set[str]:
        """The interrupts that came up although their answers are there."""
        return self._interrupts & self.answers().keys()

    def stop_at_breakpoint(self, agent: Member, checkpoint: str) -> None:
        """The graph stopped at a breakpoint it was compiled with."""
        name = BREAKPOINT.format(checkpoint)
        if name not in self._state.asks:
            agent.emit(t.InputRequested(name, "The graph stopped at a breakpoint. Go on?"))

    @property
    def at_breakpoint(self) -> bool:
        """Whether the graph waits for permission to continue from a breakpoint."""
        start = BREAKPOINT.format("")
        return any(n.startswith(start) and how == "asked" for n, how in self._state.asks.items())

    def _ask_approval(self, agent: Member, number: int) -> None:
        item = self._state.items[number]
        if item.tool in PENDING_TOOL - ASKED_TOOL and item.approval is None:
            arguments = getattr(item.content, "arguments", "")
            agent.emit(t.ApprovalRequested(number, f"Run {item.started.name}({arguments})?"))

    def _decision(self, number: int) -> dict[str, Any]:
        item = self._state.items[number]
        text = refusal(item)
        if not text:
            return {"type": "approve"}
        if item.tool in PENDING_TOOL:
            over = t.ToolCompleted(number, text, is_error=True)
            self._team.emit([t.Draft(over, NODE, item.agent)])
        return {"type": "reject", "message": text}


def _calls(agent: Member, value: object) -> tuple[list[int], bool]:
    """The calls that an interrupt wants approved, and whether it is about one alone."""
    match value:
        case {"type": "tool_approval", "tool_call_id": str(call_id)}:
            number = agent.call(call_id)
            return ([] if number is None else [number]), True
        case {"action_requests": list(), "review_configs": list()}:
            actions = cast("dict[str, Sequence[dict[str, Any]]]", value)["action_requests"]
            return _calls_of_batch(agent, [str(each.get("name")) for each in actions]), False
        case _:
            return [], False


def _calls_of_batch(agent: Member, names: Sequence[str]) -> list[int]:
    """The calls of the last reply that a batch of so named actions is about, in their order."""
    last = agent.state.replies.get(agent.id, 0)
    mine = [
        (number, item.started.name)
        for number, item in enumerate(agent.state.items)
        if item.agent == agent.id and item.reply == last and item.tool in PENDING_TOOL
    ]
    numbers: list[int] = []
    for name in names:
        free = [number for number, its in mine if its == name and number not in numbers]
        numbers += free[:1]
    return numbers if len(numbers) == len(names) else []


def _question(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name in ("message", "question", "query", "description"):
            if isinstance(fields.get(name), str):
                return str(fields[name])
    return msgspec.json.encode(value, enc_hook=str).decode()
