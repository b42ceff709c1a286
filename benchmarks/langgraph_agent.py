"""An agent of LangChain whose model says so many words: what the framework and its adapter cost a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from tailrace.runtimes.adapters.langgraph.runtime import LangGraphRuntime


class Talker(BaseChatModel):
    """Says words as fast as it is listened to."""

    tokens: int
    _llm_type = "talker"

    def _generate(self, *args: Any, **options: Any) -> ChatResult:
        raise AssertionError("it streams")

    async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(self.tokens):
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))


def runtime(tokens: int) -> LangGraphRuntime:
    """The agent, to be run."""
    return LangGraphRuntime(create_agent(Talker(tokens=tokens)), "langgraph")


async def alone(tokens: int) -> None:
    """The same without us: the framework streams its model's messages and nobody keeps them."""
    graph: Any = create_agent(Talker(tokens=tokens))
    given = {"messages": [{"role": "user", "content": "go"}]}
    async for _ in graph.astream(given, stream_mode="messages"):
        pass
