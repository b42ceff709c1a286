"""Which call of the log a framework means; the contract suite tests the rest of the playback."""

from __future__ import annotations

import pytest

from tailrace.events import abandoning
from tailrace.events import types as t
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.runs.writer import RunWriter
from tailrace.runtimes.adapters.playback import Member, PlaybackTeam, Scope
from tailrace.runtimes.contract import RunContext
from tailrace.runtimes.node_lifecycle import main_drafts, opening


@pytest.mark.req("R9")
async def test_a_call_that_a_crash_cut_off_is_not_taken_for_the_one_that_was_made_instead() -> None:
    """A model that gets the request again may give its call the same id."""
    store = MemoryStore()
    await store.open()
    log = RunWriter(store.log, "run", RunState(), lambda: 0)
    request = RunRequest(agent="lead", model="lead", surface="jobs", input=())
    log.add([t.Draft(t.RunStarted(request)), *opening(log.state, "lead")])
    log.add(main_drafts([t.ItemStarted(0, "tool_call", name="order", call_id="same")]))
    log.add([t.Draft(t.RunAttempt(2, "the server restarted", keeps_replies=True))])
    log.add(abandoning.replies(log.state))
    log.add(main_drafts([t.ItemStarted(1, "tool_call", name="order", call_id="same")]))
    log.add(main_drafts([t.ItemCompleted(1), t.Usage("m")]))
    member = Member(Scope(PlaybackTeam(RunContext("run", log)), None, None), "lead")
    assert member.call("same") == 1
    assert member.call("other") is None
    await log.flush()
