"""Interrupts of a graph as approvals and questions of the run, and the answers in the form that the graph
reads.

`HumanInTheLoopMiddleware` interrupts for calls, a batch or one by one; these become approvals. Any other
interrupt is a question: of the call in which it occurred, or of no call. An interrupt has the same id
whenever it occurs again, so a question is put once and its answer found by the id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
from langgraph.types import Interrupt

from tailrace.events import types as t
from tailrace.events.grammar import ASKED_TOOL, PENDING_TOOL
from tailrace.events.items import Json
from tailrace.runtimes.adapters.langgraph import inbox
from tailrace.runtimes.adapters.langgraph.saver import Saver
from tailrace.runtimes.adapters.playback import Member, PlaybackTeam
from tailrace.runtimes.decisions import ALL, approval_request, result_without_run
from tailrace.runtimes.node_lifecycle import NODE
from tailrace.runtimes.structured import question_schema

QUESTION = "interrupt_{}"
BREAKPOINT = "breakpoint_{}"


class People:
    """Puts the questions of a run's graphs."""

    def __init__(self, team: PlaybackTeam, saver: Saver) -> None:
        self._team = team
        self._state = team.context.state
        self._saver = saver
        self._interrupts: set[str] = set()

    def answers(self) -> dict[str, Any]:
        """All answers so far, by interrupt. This completes the calls that people refused."""
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
        """A call starts again; returns whether a question had stopped it, and not a crash after the
        answer."""
        questions = [id for id, each in self._state.questions.items() if each.item == number]
        answers = sum(self._state.asks[id] == "answered" for id in questions)
        was_interrupted = answers < len(questions) or answers > self._saver.read.get(number, 0)
        await self._saver.keep_read(number, answers)
        return was_interrupted

    async def ask(
        self,
        agent: Member,
        interrupt: Interrupt,
        number: int | None,
        schema: Callable[[str], Json],
    ) -> None:
        """Put an interrupt to a person, unless it was put before. `schema` gives that of a tool's
        arguments."""
        if interrupt.id in self._interrupts:
            return
        self._interrupts.add(interrupt.id)
        numbers, single = _calls(agent, cast("object", interrupt.value))
        if numbers:
            await self._saver.keep_approvals(interrupt.id, numbers, single=single)
            for each, decisions in zip(
                numbers, _decisions_by_call(interrupt, len(numbers)), strict=True
            ):
                self._ask_approval(agent, each, decisions, schema)
            return
        name = QUESTION.format(interrupt.id)
        if name not in self._state.asks:
            value = cast("object", interrupt.value)
            own_schema = cast("Json", interrupt.response_schema) or inbox.schema(value)
            message = inbox.message(value) or _question(value)
            agent.ask(name, message, question_schema(own_schema), number)

    def answered_interrupts(self) -> set[str]:
        """The interrupts that occurred although their answers exist."""
        return self._interrupts & self.answers().keys()

    def stop_at_breakpoint(self, agent: Member, checkpoint: str) -> None:
        """The graph stopped at a breakpoint of its compilation."""
        name = BREAKPOINT.format(checkpoint)
        agent.ask(name, "The graph stopped at a breakpoint. Continue?")

    @property
    def at_breakpoint(self) -> bool:
        """Whether the graph waits for permission to continue from a breakpoint."""
        start = BREAKPOINT.format("")
        return any(n.startswith(start) and how == "asked" for n, how in self._state.asks.items())

    def _ask_approval(
        self,
        agent: Member,
        number: int,
        decisions: tuple[t.Decision, ...],
        schema: Callable[[str], Json],
    ) -> None:
        item = self._state.items[number]
        if item.tool in PENDING_TOOL - ASKED_TOOL and item.approval is None:
            name = item.started.name
            message = f"Run {name}({getattr(item.content, 'arguments', '')})?"
            agent.emit(approval_request(number, message, schema(name), decisions))

    def _decision(self, number: int) -> dict[str, Any]:
        """The decision of a person as the middleware reads it; a call that does not run is completed."""
        item = self._state.items[number]
        result = result_without_run(item)
        if result is None:
            if item.edited_arguments is None:
                return {"type": "approve"}
            action = {
                "name": item.started.name,
                "args": msgspec.json.decode(item.edited_arguments),
            }
            return {"type": "edit", "edited_action": action}
        if item.tool in PENDING_TOOL:
            completed = t.ToolCompleted(number, result.cut().output, result.is_error)
            self._team.emit([t.Draft(completed, NODE, item.agent)])
        return {"type": "reject" if result.is_error else "respond", "message": result.output}


def _calls(agent: Member, value: object) -> tuple[list[int], bool]:
    """The calls for which an interrupt requests approval, and whether it is about a single call."""
    match value:
        case {"type": "tool_approval", "tool_call_id": str(call_id)}:
            number = agent.call(call_id)
            return ([] if number is None else [number]), True
        case {"action_requests": list(), "review_configs": list()}:
            actions = cast("dict[str, Sequence[dict[str, Any]]]", value)["action_requests"]
            return _calls_of_batch(agent, [str(each.get("name")) for each in actions]), False
        case _:
            return [], False


def _decisions_by_call(interrupt: Interrupt, count: int) -> list[tuple[t.Decision, ...]]:
    """The decisions that an interrupt allows about each of its calls.

    A batch has a configuration for each action. The interrupt about a single call has a response schema: one
    branch for each decision, or the schema of the only one.
    """
    match cast("object", interrupt.value):
        case {"review_configs": list()}:
            batch = cast("dict[str, Sequence[dict[str, Any]]]", interrupt.value)
            by_name = {each["action_name"]: each for each in batch["review_configs"]}
            configs = [by_name.get(each["name"], {}) for each in batch["action_requests"]]
            return [_decisions(each.get("allowed_decisions")) for each in configs]
        case _:
            schema = cast("dict[str, Any]", interrupt.response_schema or {})
            branches = schema.get("oneOf") or schema.get("anyOf") or [schema]
            names = [_branch_type(branch, schema.get("$defs", {})) for branch in branches]
            return [_decisions(names)] * count


def _branch_type(branch: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The decision that a branch of a response schema describes."""
    name = str(branch.get("$ref", "")).removeprefix("#/$defs/")
    kind = definitions.get(name, branch).get("properties", {}).get("type", {})
    return str(kind.get("const") or next(iter(kind.get("enum") or ()), ""))


def _decisions(names: object) -> tuple[t.Decision, ...]:
    """The decisions among these names; all of them for a release that does not name any."""
    return tuple(each for each in ALL if each in cast("Sequence[Any]", names or ())) or ALL


def _calls_of_batch(agent: Member, names: Sequence[str]) -> list[int]:
    """The calls of the last reply that match a batch of actions with these names, in their order."""
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
