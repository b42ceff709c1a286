"""Whether a run whose worker is gone can go on in another process. Pure."""

from __future__ import annotations

from tailrace.events.state import RunState
from tailrace.runs.directory import RunRecord
from tailrace.runtimes.contract import Runtime


def hindrance(record: RunRecord, state: RunState, runtime: Runtime | None, attempts: int) -> str:
    """Why it cannot, or `""`. A run that was cut off more than `attempts` times may be what kills the
    process; processes that stopped in order do not count."""
    if runtime is None:
        return f"The agent {record.agent} no longer exists."
    if not runtime.resumes:
        return f"The agent {record.agent} cannot go on after a restart."
    crashes = state.attempt - 1 - record.handovers
    if crashes > attempts:
        return f"The agent {record.agent} was cut off {crashes} times."
    return ""
