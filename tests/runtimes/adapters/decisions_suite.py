"""A person's decision about a call has its effect in every adapter: edits, responses, batches."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.errors import BadRequest
from tailrace.events import types as t
from tailrace.events.answers import Approval
from tailrace.events.items import ToolCall
from tests.runtimes.adapters.answered_suite import Answered
from tests.support.specs import spec
from tests.support.team import call, outputs, say, texts


class Decisions(Answered):
    """The part of the suite about decisions."""

    async def test_a_person_edits_a_call(self) -> None:
        """The call runs once, over a restart, with the person's arguments; the log has both."""
        amounts: list[int] = []

        def pay(amount: int) -> str:
            """Pay."""
            amounts.append(amount)
            return f"paid {amount}"

        calls = (call("pay", amount=5),)
        root = spec("lead", calls, (say("ok"),), tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        state = await first.finished(name)
        request = state.items[0].approval_request
        assert request is not None
        assert {"approve", "edit", "reject"} <= set(request.decisions)
        second = await self._again(first, root)
        for wrong in ('{"amount": "much"}', "{}", "[]", "{"):
            with pytest.raises(BadRequest, match="edited arguments of pay"):
                await second.supervisor.answer(name, (self._edit(wrong),))
        await second.supervisor.answer(name, (self._edit('{"amount": 3}'),), by="ann")
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert amounts == [3]
        ran_with = 'ran with: {"amount": 3}]'
        assert outputs(state)[0].endswith(f"{ran_with}\npaid 3")
        content, approval = state.items[0].content, state.items[0].approval
        assert isinstance(content, ToolCall)
        assert msgspec.json.decode(content.arguments) == {"amount": 5}, "as the model wrote it"
        assert approval == t.ApprovalResolved(0, approved=True, arguments='{"amount": 3}', by="ann")
        events = [e.payload for e in await second.directory.events(name)]
        (started,) = [each for each in events if isinstance(each, t.ToolStarted)]
        assert started.arguments == '{"amount": 3}'
        assert (texts(state), state.replies) == (["ok"], {"MAIN": 2})
        await second.supervisor.close()

    @staticmethod
    def _edit(arguments: str) -> Approval:
        return Approval(0, approved=True, arguments=arguments)

    async def test_a_person_answers_instead_of_a_tool(self) -> None:
        def pay(amount: int) -> str:
            """Pay."""
            raise AssertionError("it must not run")

        calls = (call("pay", amount=5),)
        root = spec("lead", calls, (say("ok"),), tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        await first.finished(name)
        second = await self._again(first, root)
        await second.supervisor.answer(name, (Approval(0, approved=False, response="Paid by me."),))
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert outputs(state) == ["Paid by me."]
        assert state.items[0].output == t.ToolCompleted(0, "Paid by me.")
        assert not state.items[0].has_begun
        assert texts(state) == ["ok"]
        await second.supervisor.close()

    async def test_decisions_about_a_batch_are_made_call_by_call(self) -> None:
        amounts: list[int] = []

        def pay(amount: int) -> str:
            """Pay."""
            amounts.append(amount)
            return f"paid {amount}"

        calls = tuple(call("pay", amount=n) for n in (1, 2, 3, 4))
        root = spec("lead", calls, (say("ok"),), tools=(pay,), approve=frozenset({"pay"}))
        first = await self._open(root)
        name = await first.start()
        await first.finished(name)
        second = await self._again(first, root)
        decisions = (
            Approval(0, approved=True),
            Approval(1, approved=True, arguments='{"amount": 20}'),
            Approval(2, approved=False, reason="too dear"),
            Approval(3, approved=False, response="Paid by me."),
        )
        await second.supervisor.answer(name, decisions)
        state = await second.finished(name)
        assert state.end == t.RunCompleted()
        assert sorted(amounts) == [1, 20]
        first_output, edited, rejected, answered = outputs(state)
        assert (first_output, answered) == ("paid 1", "Paid by me.")
        assert edited.endswith("paid 20")
        assert rejected.endswith("refused this call: too dear")
        await second.supervisor.close()
