"""The contract of every framework adapter, as one suite.

A framework's tests subclass `Contract` and define how a `Spec` becomes an agent of the framework, over its
own kind of fake model.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.history import made_by
from tailrace.events.items import Item, TextPart, ToolOutput
from tailrace.events.request import Settings
from tailrace.events.state import RunState
from tailrace.models.scenario import ScenarioStep
from tests.runtimes.adapters.decisions_suite import Decisions
from tests.support.specs import FOREVER, PAINT, Spec, Steps, reason, send, spec, until
from tests.support.team import call, outputs, say, texts


class Contract(Decisions):
    """The suite."""

    failed_tool_fails_the_run = False
    told_of_a_failed_tool = "The tool failed (ValueError)."
    answers_wait_for_others = False
    """Whether an answered call continues only when all parallel work has ended."""

    async def _run(self, root: Spec, **fields: Any) -> tuple[RunState, list[t.Event]]:
        house = await self._open(root)
        name = await house.start(**fields)
        state = await house.finished(name)
        events = await house.directory.events(name)
        await house.supervisor.close()
        return state, events

    # output

    async def test_text_and_reasoning_come_as_they_are_made(self) -> None:
        state, events = await self._run(spec("lead", (reason("hm"), say("Good "), say("day"))))
        assert state.end == t.RunCompleted()
        assert [item.started.kind for item in state.items] == ["reasoning", "message"]
        assert texts(state) == ["Good day"]
        deltas = [e.payload.text for e in events if isinstance(e.payload, t.TextDelta)]
        assert deltas == ["Good ", "day"]
        assert state.replies == {"MAIN": 1}
        assert state.finish == "stop"
        assert state.total().output > 0
        assert state.agents == {"MAIN": "closed"}

    async def test_calls_of_one_reply_run_in_parallel_and_each_result_is_reported_at_once(
        self,
    ) -> None:
        slow_may_end = asyncio.Event()

        async def fast(n: int) -> str:
            """Be quick."""
            return f"fast {n}"

        async def slow() -> str:
            """Be slow."""
            await slow_may_end.wait()
            return "slow"

        calls = (say("Let me see."), call("slow"), call("fast", n=7))
        house = await self._open(spec("lead", calls, (say("done"),), tools=(fast, slow)))
        name = await house.start()
        await until(house, name, lambda state: "fast 7" in outputs(state))
        slow_may_end.set()
        state = await house.finished(name)
        assert outputs(state) == ["slow", "fast 7"]
        assert texts(state) == ["Let me see.", "done"]
        assert state.replies == {"MAIN": 2}
        events = [e.payload for e in await house.directory.events(name)]
        assert sum(isinstance(payload, t.ArgumentsDelta) for payload in events) >= 2
        assert all(item.started.runs_on == "server" for item in state.items[1:3])
        await house.supervisor.close()

    async def test_a_tool_that_fails(self) -> None:
        def broken() -> str:
            """Break."""
            raise ValueError("no good")

        root = spec("lead", (call("broken"),), (say("I see"),), tools=(broken,))
        state, _ = await self._run(root)
        assert outputs(state)[0] == self.told_of_a_failed_tool
        assert getattr(state.items[0].output, "is_error", False)
        assert isinstance(state.end, t.RunFailed) == self.failed_tool_fails_the_run

    @pytest.mark.parametrize("said", [(), (say("so far"),)])
    async def test_a_model_that_fails_fails_the_run(self, said: Steps) -> None:
        state, _ = await self._run(spec("lead", (*said, ScenarioStep(fail="secret-key"))))
        assert isinstance(state.end, t.RunFailed)
        assert "secret" not in state.end.message
        assert "raised" not in state.end.message
        assert [item.status for item in state.items] == ["incomplete"] * len(said)

    # subagents

    async def test_an_agent_below_takes_part(self) -> None:
        def look() -> str:
            """Look."""
            return "seen"

        helper = spec("helper", (call("look"),), (say("helped"),), tools=(look,))
        state, events = await self._run(
            spec("lead", (send("helper"),), (say("done"),), below=(helper,))
        )
        assert state.end == t.RunCompleted()
        assert texts(state) == ["done"]
        assert texts(state, "helper") == ["helped"]
        assert outputs(state) == ["helped", "seen"]
        entry = next(entry for entry in state.registry if entry.id == "helper")
        assert (entry.kind, entry.parent) == ("subagent", "MAIN")
        assert state.dispatches == {0: ["helper"]}
        assert state.replies == {"MAIN": 2, "helper": 2}
        assert state.agents == {"MAIN": "closed", "helper": "closed"}
        said = [(e.agent, e.payload) for e in events]
        answer = said.index(("MAIN", t.TextDelta(3, "done")))
        assert said.index(("helper", t.AgentCompleted())) < answer

    async def test_subagents_work_in_parallel_each_under_its_own_name(self) -> None:
        both = asyncio.Barrier(2)

        async def meet() -> str:
            """Meet."""
            await both.wait()
            return "met"

        helper = spec("helper", (call("meet"),), (say("helped"),), tools=(meet,))
        state, _ = await self._run(
            spec("lead", (send("helper"), send("helper")), (say("done"),), below=(helper,))
        )
        assert state.end == t.RunCompleted()
        assert state.replies == {"MAIN": 2, "helper": 2, "helper#2": 2}
        assert state.dispatches == {0: ["helper"], 1: ["helper#2"]}
        assert {agent for agent, _ in state.usage} == {"MAIN", "helper", "helper#2"}

    # the client's tools

    async def test_a_clients_tool_ends_the_turn_and_the_next_one_brings_its_output(self) -> None:
        def look() -> str:
            """Look."""
            return "seen"

        root = spec("lead", (call("look"), call("paint", colour="red")), tools=(look,))
        settings = Settings(tools=(PAINT,))
        state, _ = await self._run(root, settings=settings)
        assert state.end == t.RunCompleted()
        assert state.finish == "tool_calls"
        assert [item.tool for item in state.items] == ["done", "handed"]
        assert state.items[1].started.runs_on == "client"
        call_id = state.items[1].started.call_id
        answer = ToolOutput(call_id=call_id, output=(TextPart("painted"),))
        seen: list[Item] = [*state.start_request().input, *made_by(state), answer]
        after = spec("lead", (say("wrong"),), (say("nice"),), tools=(look,))
        state, _ = await self._follow(after, seen, settings)
        assert texts(state) == ["nice"]
        assert state.end == t.RunCompleted()

    async def _follow(
        self, root: Spec, items: list[Item], settings: Settings
    ) -> tuple[RunState, list[t.Event]]:
        """A turn whose input ends with a tool's output."""
        *history, last = items
        return await self._run(root, history=history, input=(last,), settings=settings)

    # approvals

    @pytest.mark.parametrize(
        ("approved", "answer"), [(True, "paid 5"), (False, "refused this call: no")]
    )
    async def test_an_approval_pauses_the_run_over_a_restart(
        self, approved: bool, answer: str
    ) -> None:
        def pay(amount: int) -> str:
            """Pay."""
            return f"paid {amount}"

        root = spec(
            "lead",
            (call("pay", amount=5),),
            (say("ok"),),
            tools=(pay,),
            approve=frozenset({"pay"}),
        )
        first = await self._open(root)
        name = await first.start()
        state = await first.finished(name)
        assert (state.phase, state.items[0].tool) == ("waiting", "asked")
        assert state.items[0].started.waits_for == "approval"
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(0, approved, "no"),))
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert answer in outputs(state)[0]
        assert state.items[0].has_begun == approved
        assert texts(state) == ["ok"]
        assert state.replies == {"MAIN": 2}, "nothing was asked again"
        await second.supervisor.close()

    async def test_two_approvals_may_be_answered_one_after_the_other(self) -> None:
        def pay(amount: int) -> str:
            """Pay."""
            return f"paid {amount}"

        calls = (call("pay", amount=1), call("pay", amount=2))
        root = spec("lead", calls, (say("ok"),), tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        await first.finished(name)
        await first.supervisor.answer(name, (Approval(1, approved=True),))
        state = await first.finished(name)
        assert state.phase == "waiting"
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(0, approved=False),))
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert "refused" in outputs(state)[0]
        assert outputs(state)[1] == "paid 2"
        await second.supervisor.close()

    async def test_an_approval_below_waits_and_what_was_done_is_not_done_again(self) -> None:
        done: list[str] = []

        def look() -> str:
            """Look."""
            done.append("look")
            return "seen"

        def pay() -> str:
            """Pay."""
            done.append("pay")
            return "paid"

        payer = spec(
            "payer",
            (call("look"),),
            (call("pay"),),
            (say("settled"),),
            tools=(look, pay),
            approve=frozenset({"pay"}),
        )
        root = spec(
            "lead", (send("payer"), call("look")), (say("ok"),), tools=(look,), below=(payer,)
        )
        first = await self._open(root)
        name = await first.start()
        state = await first.finished(name)
        assert state.phase == "waiting"
        asked = next(n for n, item in enumerate(state.items) if item.tool == "asked")
        assert state.items[asked].agent == "payer"
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(asked, approved=True),))
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert state.replies == {"MAIN": 2, "payer": 3}
        assert sorted(done) == ["look", "look", "pay"]
        assert outputs(state)[0] == "settled"
        assert state.attempt == 1
        await second.supervisor.close()

    async def test_an_answer_is_taken_up_while_other_agents_still_work(self) -> None:
        if self.answers_wait_for_others:
            pytest.skip("this framework goes on with an answer when the others are done")
        spent = asyncio.Event()

        async def spend() -> str:
            """Spend."""
            spent.set()
            return "spent"

        async def busy() -> str:
            """Work until the other one has spent."""
            await spent.wait()
            return "done"

        yes = frozenset({"spend"})
        payer = spec("payer", (call("spend"),), (say("ok"),), tools=(spend,), approve=yes)
        worker = spec("worker", (call("busy"),), (say("ok"),), tools=(busy,))
        both = (send("payer"), send("worker"))
        house = await self._open(spec("lead", both, (say("x"),), below=(payer, worker)))
        name = await house.start()
        state = await until(house, name, lambda s: "asked" in [item.tool for item in s.items])
        number = next(n for n, item in enumerate(state.items) if item.tool == "asked")
        await house.supervisor.answer(name, (Approval(number, approved=True),))
        state = await house.finished(name)
        assert state.end == t.RunCompleted()
        events = await house.directory.events(name)
        assert not any(isinstance(event.payload, t.RunWaiting) for event in events)
        await house.supervisor.close()

    # ends and crashes

    async def test_cancel_stops_a_tool_below(self) -> None:
        stopped: list[str] = []

        async def hang() -> str:
            """Hang."""
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append("tool")
            return ""

        helper = spec("helper", (call("hang"),), tools=(hang,))
        house = await self._open(spec("lead", (send("helper"),), below=(helper,)))
        name = await house.start()
        await until(house, name, lambda s: "running" in [item.tool for item in s.items[1:]])
        await house.supervisor.cancel(name, "a test")
        state = await house.directory.state(name)
        assert stopped == ["tool"]
        assert state.end == t.RunCancelled("a test")
        assert len(asyncio.all_tasks()) <= 2, "the sweeper and this test"
        await house.supervisor.close()

    async def test_cancel_stops_a_model_in_the_middle_of_its_reply(self) -> None:
        house = await self._open(spec("lead", (say("so far"), FOREVER, say("never"))))
        name = await house.start()
        await until(house, name, lambda s: any(item.parts for item in s.items))
        await house.supervisor.cancel(name, "a test")
        state = await house.directory.state(name)
        assert state.end == t.RunCancelled("a test")
        assert texts(state) == ["so far"]
        assert state.items[0].status == "incomplete"
        await house.supervisor.close()

    async def test_after_a_crash_finished_replies_and_tools_are_not_repeated(self) -> None:
        done: list[str] = []

        async def quick() -> str:
            """Be quick."""
            done.append("quick")
            return "quick"

        async def hang() -> str:
            """Hang the first time."""
            done.append("hang")
            if done.count("hang") == 1:
                await asyncio.Event().wait()
            return "went"

        helper = spec(
            "helper", (call("quick"), call("hang")), (say("helped"),), tools=(quick, hang)
        )
        root = spec(
            "lead",
            (call("quick"),),
            (send("helper"),),
            (say("ok"),),
            tools=(quick,),
            below=(helper,),
        )
        first = await self._open(root)
        name = await first.start()
        await until(first, name, lambda s: "hang" in done and len(outputs(s)) == 2)
        second = await self._again(first, root)
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert state.attempt == 2
        assert state.replies == {"MAIN": 3, "helper": 2}
        assert done.count("quick") == 2, "once each"
        assert done.count("hang") == 1, "whether it took effect is not known"
        assert any("whether it took effect is unknown" in text for text in outputs(state))
        assert texts(state) == ["ok"]
        await second.supervisor.close()

    @pytest.mark.parametrize(
        ("again", "statuses"),
        [("so far", ["completed"]), ("something else", ["incomplete", "completed"])],
    )
    async def test_after_a_crash_in_a_reply(self, again: str, statuses: list[str]) -> None:
        first = await self._open(spec("lead", (say("so "), FOREVER)))
        name = await first.start()
        await until(first, name, lambda s: any(item.parts for item in s.items))
        second = await self._again(first, spec("lead", (say(again),)))
        state = await second.finished(name)
        await second.supervisor.close()
        assert [item.status for item in state.items] == statuses
        assert made_by(state) == (state.items[-1].content,)
        assert (state.end, texts(state)[-1]) == (t.RunCompleted(), again)
