"""How long an answer applies, and the messages that may come with it; part of `contract_suite.Contract`."""

from __future__ import annotations

from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.history import turn as turn_of
from tailrace.models.scenario import ScenarioStep
from tests.runtimes.adapters.durable_suite import Durable
from tests.support.house import House
from tests.support.logs import user
from tests.support.specs import Spec, send, spec
from tests.support.team import call, outputs, say, texts


class Answered(Durable):
    """The suite."""

    repeated_ids_fail_the_run = ""
    """The framework's message about a second call with the same id in a run, if it does not accept one."""

    async def _again(self, house: House, root: Spec) -> House:
        """Start the next process; the old one has stopped."""
        await house.supervisor.drain()
        second = House(self.build(root), house.store)
        await second.supervisor.open()
        return second

    async def test_an_approval_does_not_apply_to_a_later_call_of_the_same_id(self) -> None:
        """Model servers count calls from 0 in every reply."""
        paid: list[int] = []

        def pay(amount: int) -> str:
            """Pay."""
            paid.append(amount)
            return f"paid {amount}"

        calls = [
            ScenarioStep(call="pay", arguments={"amount": n}, call_id="call_0") for n in (1, 2)
        ]
        replies = (*((each,) for each in calls), (say("ok"),))
        root = spec("lead", *replies, tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        await first.finished(name)
        await first.supervisor.answer(name, (Approval(0, approved=True),))
        state = await first.finished(name)
        assert paid == [1]
        if self.repeated_ids_fail_the_run:
            assert isinstance(state.end, t.RunFailed)
            assert self.repeated_ids_fail_the_run in state.end.message
            return await first.supervisor.close()
        assert [item.tool for item in state.items] == ["done", "asked"]
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(1, approved=False),))
        state = await second.finished(name)
        assert paid == [1]
        assert outputs(state) == ["paid 1", "A person refused this call."]
        assert texts(state) == ["ok"]
        return await second.supervisor.close()

    async def test_a_message_beside_an_answer_is_read_in_its_place(self) -> None:
        """The model gives its n-th reply after n - 1 replies since the last user message. So it starts
        again where it gets a new message, and continues where the message precedes its last reply."""

        def pay(amount: int) -> str:
            """Pay."""
            return f"paid {amount}"

        replies = ((call("pay", amount=1),), (say("ok"),))
        root = spec("lead", *replies, tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        await first.finished(name)
        turn = t.RunResumed(None, (user("and once more"),))
        await first.supervisor.answer(name, (Approval(0, approved=True),), turn)
        state = await first.finished(name)
        assert [item.tool for item in state.items] == ["done", "asked"], "it began again"
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(1, approved=False),))
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert texts(state) == ["ok"], "nothing was said after its last call"
        said = [getattr(item, "role", type(item).__name__) for item in turn_of(state)]
        calls = ["ToolCall", "ToolOutput"]
        assert said == ["user", *calls, "user", *calls, "assistant"]
        await second.supervisor.close()

    async def test_a_subagent_that_asked_does_not_get_the_message(self) -> None:
        """With the message the subagent would start again; the agent that dispatched it gets the message
        and does."""

        def pay() -> str:
            """Pay."""
            return "paid"

        payer = spec(
            "payer", (call("pay"),), (say("done"),), tools=(pay,), approve=frozenset({"pay"})
        )
        root = spec("lead", (send("payer"),), (say("ok"),), below=(payer,))
        house = await self._open(root)
        name = await house.start()
        state = await house.finished(name)
        number = next(n for n, item in enumerate(state.items) if item.tool == "asked")
        turn = t.RunResumed(None, (user("and once more"),))
        await house.supervisor.answer(name, (Approval(number, approved=True),), turn)
        state = await house.finished(name)
        assert state.phase == "waiting"
        assert texts(state, "payer") == ["done"]
        assert sum(item.started.name == "payer" for item in state.items) == 2
        await house.supervisor.close()
