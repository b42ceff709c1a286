"""The two tools that the agent loop executes itself: dispatching a task to a subagent, and asking a
person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from tailrace.events.items import Json
from tailrace.events.pauses import ASK_USER as ASK_USER
from tailrace.events.request import ToolSpec

TASK = "task"


class SubagentTask(Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of `task`."""

    agent: str
    prompt: str


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of `ask_user`; `options` are the possible answers, if they are limited."""

    question: str
    options: tuple[str, ...] = ()

    def schema(self) -> Json:
        """The JSON schema of an answer."""
        return (
            {"type": "string", "enum": list(self.options)} if self.options else {"type": "string"}
        )


def task_spec(descriptions: Mapping[str, str]) -> ToolSpec:
    """`task` for an agent with these subagents."""
    lines = "\n".join(f"- {name}: {text or name}" for name, text in descriptions.items())
    return ToolSpec(
        name=TASK,
        description=(
            "Hand a task to another agent and get its final answer. It sees nothing but the prompt. "
            f"Several tasks in one reply run in parallel. Agents:\n{lines}"
        ),
        parameters=_object(
            {
                "agent": {"type": "string", "enum": list(descriptions)},
                "prompt": {"type": "string", "description": "All that the agent needs to know."},
            },
            ["agent", "prompt"],
        ),
    )


def ask_user_spec() -> ToolSpec:
    """`ask_user`."""
    return ToolSpec(
        name=ASK_USER,
        description="Ask the user something that you need in order to continue, and wait for the answer.",
        parameters=_object(
            {
                "question": {"type": "string"},
                "options": {"type": "array", "items": {"type": "string"}},
            },
            ["question"],
        ),
    )


def read_task(arguments: str, agents: Sequence[str]) -> SubagentTask | str:
    """The task of a `task` call, or the fault of its arguments."""
    try:
        task = msgspec.json.decode(arguments or "{}", type=SubagentTask)
    except msgspec.MsgspecError as error:
        return f"The arguments do not fit: {error}"
    if task.agent not in agents:
        return f"Unknown agent: {task.agent}. Known: {', '.join(agents)}."
    return task


def _object(properties: dict[str, Json], names: list[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }
