"""A Pydantic AI agent, served. No key needed: a function plays the model.

    pip install 'tailrace[pydantic-ai]'
    tailrace serve examples.pydantic_ai_agent:app
    curl localhost:8700/v1/responses -d '{"model": "refunds", "input": "Give me 20 back"}'
    tailrace runs
    tailrace answer RUN yes

The agent is an ordinary one. Its tool lets a second agent work, which takes part in the run as a subagent;
another tool waits for somebody's yes, for as long as it takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

import tailrace

Piece = str | dict[int, DeltaToolCall]


async def check(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
    """Plays the model of the second agent."""
    yield "The order is "
    yield "paid."


async def decide(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
    """Plays the model of the first one: look the order up, refund it, say what came of it."""
    done = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if not done:
        yield "Let me check. "
        yield {1: DeltaToolCall("look_up", '{"order": "A-1"}')}
    elif done[0].tool_name == "look_up":
        yield {0: DeltaToolCall("refund", '{"amount": 20}')}
    else:
        yield f"So: {done[0].content}"


clerk = Agent(FunctionModel(stream_function=check), name="clerk")
refunds = Agent(FunctionModel(stream_function=decide), name="refunds")


@refunds.tool_plain
async def look_up(order: str) -> str:
    """Find out about an order."""
    return (await clerk.run(f"What about {order}?")).output


@refunds.tool_plain(requires_approval=True)
def refund(amount: int) -> str:
    """Give money back."""
    return f"{amount} given back."


app = tailrace.App()
app.add("refunds", refunds)
