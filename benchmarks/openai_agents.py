"""An OpenAI Agents SDK agent whose model says so many tokens, for the row of `agents.py`.

The model is the SDK's kind of fake: it yields an event that was made beforehand, so that the row is the
adapter's and the runner's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from agents import Agent, Model, ModelResponse
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tailrace.runtimes.adapters.openai_agents.runtime import OpenAIAgentsRuntime

_event: TypeAdapter[TResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
MESSAGE = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": []}


class Words(Model):
    """Says so many words."""

    def __init__(self, tokens: int) -> None:
        part = {"type": "output_text", "text": "word " * tokens, "annotations": []}
        whole = {
            "id": "r",
            "created_at": 0,
            "model": "fake",
            "object": "response",
            "output": [{**MESSAGE, "content": [part]}],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        self._tokens = tokens
        self._added = _made("response.output_item.added", output_index=0, item=MESSAGE)
        self._delta = _made(
            "response.output_text.delta",
            output_index=0,
            content_index=0,
            item_id="m",
            delta="word ",
            logprobs=[],
        )
        self._completed = _made("response.completed", response=whole)

    async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:
        raise AssertionError("it streams")

    async def stream_response(
        self, *arguments: Any, **more: Any
    ) -> AsyncGenerator[TResponseStreamEvent]:
        yield self._added
        for n in range(self._tokens):
            yield self._delta
            if n % 64 == 0:
                await asyncio.sleep(0)
        yield self._completed


def runtime(tokens: int) -> OpenAIAgentsRuntime:
    """The agent as a runtime."""
    return OpenAIAgentsRuntime(Agent(name="speaker", model=Words(tokens)), "speaker")


def _made(type: str, **fields: Any) -> TResponseStreamEvent:
    return _event.validate_python({"type": type, "sequence_number": 0, **fields})
