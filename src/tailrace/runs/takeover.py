"""Whether a run that has lost its worker can continue in another process. Pure.

A takeover is an append: the new worker writes `RunAttempt` with the next attempt number at the end of the
log. If that append succeeds, the log refuses the previous worker from then on, even if it is only slow and
not dead (`log/stores/claim.py`); if it is fenced, another worker was first and this one stops. So no
process needs to know whether another one lives.

The run itself may be what ended its worker: it blocks the loop, or kills the process. So interrupted
attempts are counted, whether a crash was seen or not, and the run is ended after `stuck_attempts` without
progress. Attempts that a worker handed over in order do not count.
"""

from __future__ import annotations

from tailrace.events.state import RunState
from tailrace.events.types import RunAttempt
from tailrace.runs.directory import RunRecord
from tailrace.runs.settings import RunSettings
from tailrace.runtimes.contract import Runtime


def attempt(record: RunRecord, state: RunState, reason: str, *, orderly: bool) -> RunAttempt:
    """The next attempt at a run. `orderly`: nothing but the log kept the last one from going on."""
    orderly = orderly or record.handovers > state.handovers
    return RunAttempt(state.attempt + 1, reason, orderly, record.handovers, keeps_replies=True)


def hindrance(
    record: RunRecord,
    state: RunState,
    runtime: Runtime | None,
    next_one: RunAttempt,
    settings: RunSettings,
) -> str:
    """Why a run cannot go on with `next_one`, or `""`."""
    if runtime is None:
        return f"The agent {record.agent} no longer exists."
    if not runtime.resumes:
        return f"The agent {record.agent} cannot go on after a restart."
    stuck_attempts = state.stalls + (not next_one.orderly)
    cut_offs = state.cut_offs + (not next_one.orderly)
    if stuck_attempts >= settings.stuck_attempts:
        words = f"{stuck_attempts} attempts in a row were cut off before the agent got any further"
        return f"The run was stopped: {words}."
    if cut_offs >= settings.attempts:
        return f"The run was stopped: {cut_offs} attempts were cut off."
    return ""


def is_suspect(state: RunState, next_one: RunAttempt, settings: RunSettings) -> bool:
    """Whether this is the last attempt at a run that may be what ends its workers: were it cut off by another
    such run's doing, it would be given up for nothing."""
    return state.stalls >= settings.stuck_attempts - 2 and not next_one.orderly
