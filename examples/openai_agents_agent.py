"""An OpenAI Agents SDK agent, served. No key needed: the SDK's own scripted model plays the models.

    pip install 'tailrace[openai-agents]'
    tailrace serve examples.openai_agents_agent:app
    curl localhost:8700/v1/responses -d '{"model": "desk", "input": "Give me 20 back"}'
    tailrace runs
    tailrace answer RUN yes

The agents are ordinary ones. The desk asks a clerk, who takes part in the run as a subagent, and hands the
conversation over to the cashier, whose tool waits for somebody's yes, for as long as it takes.
"""

from __future__ import annotations

from typing import Any

from agents import Agent, function_tool
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call

import tailrace


def played(decide: Any) -> ScriptedModel:
    """A model that `decide` plays, for a thousand replies."""
    return ScriptedModel([ModelStep.respond(decide)] * 1000)


def results(call: ModelCall) -> list[str]:
    """What the tools have answered since the user spoke."""
    found: list[str] = []
    for item in reversed(call.input if isinstance(call.input, list) else []):
        if item.get("role") == "user":
            break
        if "output" in item:
            found.insert(0, item["output"])
    return found


def check(call: ModelCall) -> Any:
    """Plays the clerk's model."""
    return [assistant_message("The order is paid.")]


def decide(call: ModelCall) -> Any:
    """Plays the desk's model: look the order up, then leave it to the cashier."""
    if not results(call):
        return [
            assistant_message("Let me check."),
            function_call("ask_clerk", {"input": "What about A-1?"}, call_id="look_up"),
        ]
    return [function_call("transfer_to_cashier", {}, call_id="over_to_you")]


def repay(call: ModelCall) -> Any:
    """Plays the cashier's model: refund, then say what came of it."""
    last = results(call)[-1]
    if last.endswith("back.") or "refused" in last:
        return [assistant_message(f"So: {last}")]
    return [function_call("refund", {"amount": 20}, call_id="refund")]


@function_tool(needs_approval=True)
def refund(amount: int) -> str:
    """Give money back."""
    return f"{amount} given back."


clerk = Agent(name="clerk", model=played(check))
cashier = Agent(name="cashier", model=played(repay), tools=[refund])
desk = Agent(
    name="desk",
    model=played(decide),
    tools=[clerk.as_tool("ask_clerk", "Knows the orders.")],
    handoffs=[cashier],
)

app = tailrace.App()
app.add("desk", desk)
