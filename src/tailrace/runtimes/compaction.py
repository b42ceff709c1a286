"""Keeps an agent's history within its context: when to compact it, the request for a summary, the
replacement. Pure."""

from __future__ import annotations

from tailrace.events.items import Item, Message, TextPart
from tailrace.events.request import ModelRequest
from tailrace.events.state import RunState
from tailrace.events.types import Finish

FULL = 0.8
"""The share of the context that may be used before the history is compacted; the rest is for the next
reply."""

ASK = (
    "Summarise the conversation so far for yourself: you will continue from the summary alone. Keep what was "
    "asked, what was decided and found out, names, numbers and open points. Answer with the summary only."
)


def due(state: RunState, agent: str, context_tokens: int) -> bool:
    """Whether the last reply left too little room for another."""
    return bool(context_tokens) and state.contexts.get(agent, 0) >= FULL * context_tokens


def request(items: tuple[Item, ...], instructions: str) -> ModelRequest:
    """The model call that summarises the history."""
    ask = Message(role="user", content=(TextPart(ASK),))
    return ModelRequest(items=(*items, ask), instructions=instructions)


def fault(summary: str, finish: Finish) -> str:
    """The reason why a summary cannot replace the history, or `""`."""
    if finish != "stop":
        return f"The summary was cut off ({finish})."
    return "" if summary.strip() else "The model gave no summary."


def replacement(summary: str, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """The items that replace the history: the summary, then the last user message, verbatim."""
    text = f"Summary of the conversation so far:\n\n{summary}"
    last = [item for item in items if isinstance(item, Message) and item.role == "user"][-1:]
    return (Message(role="user", content=(TextPart(text),)), *last)
