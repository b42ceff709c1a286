"""What is changed of Pydantic AI, and what is relied on beyond its public promise: nothing else is.

Every way of running an agent begins with `Agent.iter`, which is wrapped once when this file is imported:
inside a run of ours the agent is listened to (`tap.py`), outside it does what it did.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability

from tailrace import hooks
from tailrace.runtimes.adapters.playback import scope
from tailrace.runtimes.adapters.pydantic_ai.invocation import PydanticAIInvocation
from tailrace.runtimes.adapters.pydantic_ai.tap import Tap

NEEDS = ("pydantic-ai-slim", "2.68")
CAPABILITY = (
    "get_ordering",
    "get_wrapper_model",
    "wrap_tool_execute",
    "handle_deferred_tool_calls",
)
"""What `Tap` overrides: a release that does not call one of them would run agents unheard."""


@asynccontextmanager
async def _iterate(
    iterate: Any, agent: Any, prompt: Any, options: dict[str, Any]
) -> AsyncGenerator[Any]:
    """`Agent.iter`, with a tap on it where it runs inside a run of ours."""
    place = scope()
    if place is None:
        async with iterate(agent, prompt, **options) as run:
            yield run
        return
    invocation = PydanticAIInvocation(place, agent.name or "agent")
    capabilities = [*(options.pop("capabilities", None) or ()), Tap(invocation)]
    with invocation.working():
        async with iterate(agent, prompt, capabilities=capabilities, **options) as run:
            yield run
            invocation.catch_up(run.all_messages())


def _wrap(iterate: Any) -> Any:
    @wraps(iterate)
    def iter(self: Any, user_prompt: Any = None, **options: Any) -> Any:
        return _iterate(iterate, self, user_prompt, options)

    return iter


hooks.require(*NEEDS, AbstractCapability, *CAPABILITY)
hooks.wrap(*NEEDS, Agent, "iter", _wrap)
