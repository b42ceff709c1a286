"""A LangGraph agent, served. No key needed: a class plays the model.

    pip install 'tailrace[langgraph]' langchain
    tailrace serve examples.langgraph_agent:app
    curl localhost:8700/v1/responses -d '{"model": "travel", "input": "A room in Rome"}'
    tailrace runs
    tailrace answer RUN yes

The agent is an ordinary one. Its tool lets a second agent work, which takes part in the run as a subagent;
another tool waits for somebody's yes, for as long as it takes, also over restarts of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

import tailrace


class Played(BaseChatModel):
    """Plays the models: looks for a room, books it, says what came of it."""

    _llm_type = "played"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        message = self._next(messages)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        last = messages[-1]
        if isinstance(last, ToolMessage) and last.name == "look":
            call = {"name": "book", "args": {"hotel": "Roma"}, "id": "call_book"}
            return AIMessage("", tool_calls=[call])
        if isinstance(last, ToolMessage):
            return AIMessage(f"So: {last.text}")
        if last.text.startswith("Find"):
            return AIMessage("The Roma has a room.")
        call = {"name": "look", "args": {"city": "Rome"}, "id": "call_look"}
        return AIMessage("Let me look. ", tool_calls=[call])


scout = create_agent(Played(), name="scout")


@tool
async def look(city: str) -> str:
    """Find a room."""
    found = await scout.ainvoke({"messages": [{"role": "user", "content": f"Find in {city}"}]})
    return str(found["messages"][-1].text)


@tool
def book(hotel: str) -> str:
    """Book a room."""
    return f"A room in the {hotel} is booked."


travel = create_agent(
    Played(),
    tools=[look, book],
    middleware=[HumanInTheLoopMiddleware(interrupt_on={"book": True})],
)

app = tailrace.App()
app.add("travel", travel)
