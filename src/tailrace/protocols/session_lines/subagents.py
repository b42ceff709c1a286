"""Subagents as the host's events of a session: spawned, working, done, closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tailrace.events import ids
from tailrace.events import types as t
from tailrace.events.items import Message, ToolCall, text_of
from tailrace.protocols.session_lines import wire_events as e
from tailrace.protocols.session_lines.messages import arguments

OUTCOMES: dict[t.Ending, Literal["completed", "failed", "cancelled"]] = {
    "completed": "completed",
    "incomplete": "failed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class Orchestra:
    """The agents of one run, and their input."""

    def __init__(self, run: str) -> None:
        self._run = ids.run_id(run)
        self._task = ""
        self._started = False
        self._calls: dict[int, ToolCall] = {}
        self._texts: dict[str, str] = {}
        self._waits: dict[int, str] = {}

    def set_task(self, task: str) -> None:
        """Set the task of the run."""
        self._task = task

    def add_call(self, item: int, call: ToolCall) -> None:
        """Add a call of any agent; it may dispatch another agent."""
        self._calls[item] = call

    def set_text(self, agent: str, message: Message) -> None:
        """Set an agent's latest message; the last one is the result of its work."""
        self._texts[agent] = text_of(message.content)

    def on_agent_started(self, event: t.Event, payload: t.AgentStarted) -> Iterator[e.Line]:
        """The lines of an agent that starts."""
        agent = event.agent
        call = self._calls.get(-1 if payload.call is None else payload.call)
        if not self._started:
            self._started = True
            task = e.OrchestrationTask(id=f"task_{self._run}", kind="user", input=self._task)
            yield e.OrchestrationRunStart(run_id=self._run, initial_task=task)
        about = e.SubagentInfo(
            id=agent,
            role=payload.name,
            created_at=event.ts,
            task_id=call.call_id if call else "",
            display_name=payload.name,
        )
        yield e.SubagentSpawn(chain_id=self._run, depth=1, child_session_id=agent)
        yield e.SubagentSpawned(agent=about, parent_id=payload.parent)
        prompt = "" if call is None else arguments(call).get("prompt", call.arguments)
        agent_input = e.Input(id=self._input(agent), agent_id=agent, payload=str(prompt))
        yield e.SubagentMessage(agent_id=agent, input=agent_input)
        yield e.SubagentStatus(agent_id=agent, status="running")
        inputs = (self._input(agent),)
        yield e.SubagentJobStarted(agent_id=agent, job_id=self._job(agent), input_ids=inputs)

    def on_agent_completed(self, agent: str, status: t.Ending) -> Iterator[e.Line]:
        """The lines of an agent that ends."""
        job = e.SubagentJob(
            job_id=self._job(agent),
            input_ids=(self._input(agent),),
            outcome=OUTCOMES[status],
            output_text=self._texts.pop(agent, ""),
            error="" if status == "completed" else f"The agent's work is {status}.",
        )
        if status == "completed":
            yield e.SubagentJobCompleted(agent_id=agent, job=job)
        else:
            yield e.SubagentJobFailed(agent_id=agent, job=job)
        yield e.SubagentStatus(agent_id=agent, status="closed")
        yield e.SubagentClosed(agent_id=agent, reason=status)
        yield e.SubagentComplete(chain_id=self._run, depth=1, child_session_id=agent)

    def waits(self, agent: str, item: int, what: str) -> Iterator[e.Line]:
        """The lines of an agent that waits for a person."""
        self._waits[item] = agent
        wait = e.Wait(id=f"wait_{self._run}_{item}", agent_id=agent, kind="user", description=what)
        yield e.SubagentStatus(agent_id=agent, status="waiting")
        yield e.WaitRegistered(wait=wait)

    def on_answer(self, item: int, resolution: str) -> Iterator[e.Line]:
        """A person answered: the agent continues."""
        agent = self._waits.pop(item, None)
        if agent is not None:
            yield e.WaitResolved(wait_id=f"wait_{self._run}_{item}", resolution=resolution)
            yield e.SubagentStatus(agent_id=agent, status="running")

    def over(self, end: t.RunEnd) -> Iterator[e.Line]:
        """The line of the run's end, if it had subagents."""
        if not self._started:
            return
        failed = isinstance(end, t.RunFailed)
        yield e.OrchestrationRunComplete(
            run_id=self._run,
            status="failed" if failed else "completed",
            error=end.message if isinstance(end, t.RunFailed) else "",
        )

    def _job(self, agent: str) -> str:
        return f"job_{self._run}_{agent}"

    def _input(self, agent: str) -> str:
        return f"input_{self._run}_{agent}"
