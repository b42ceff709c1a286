"""Graphs of LangGraph, run by LangGraph: what they are told, what is told of them."""

from __future__ import annotations

import pytest

from tailrace.log.stores.memory import MemoryStore
from tailrace.runtimes.adapters.langgraph import LangGraphRuntime
from tailrace.runtimes.contract import Runtime
from tests.runtimes.adapters.contract_suite import Contract
from tests.support.langgraph_agents import agent
from tests.support.specs import Spec


class TestLangGraph(Contract):
    """The suite, over `create_agent`."""

    failed_tool_fails_the_run = True

    @pytest.fixture(autouse=True)
    def _store(self) -> None:
        self.store = MemoryStore()

    def build(self, spec: Spec) -> Runtime:
        made = LangGraphRuntime(agent(spec), spec.name)
        made.keep_in(self.store.records)
        return made
