"""What the log holds before an adapter lets its framework continue; part of `contract_suite.Contract`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tailrace.events import types as t
from tailrace.runtimes.contract import Runtime
from tests.support.house import House, begun_tools, open_house, slow
from tests.support.specs import Spec, spec
from tests.support.team import call, say


class Durable(ABC):
    """The suite."""

    @abstractmethod
    def build(self, spec: Spec) -> Runtime:
        """The framework's agent as a runtime."""

    async def _open(self, root: Spec) -> House:
        return await open_house(self.build(root))

    async def test_a_tool_begins_when_the_log_knows_of_it(self) -> None:
        known: list[list[int]] = []

        async def look() -> str:
            """Look."""
            known.append(await begun_tools(house))
            return "seen"

        root = spec("lead", (call("look"),), (call("look"),), (say("ok"),), tools=(look,))
        house = slow(await self._open(root))
        state = await house.finished(await house.start())
        assert state.end == t.RunCompleted()
        begun = [number for number, item in enumerate(state.items) if item.has_begun]
        assert known == [begun[:1], begun]
        await house.supervisor.close()
