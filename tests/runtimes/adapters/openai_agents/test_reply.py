"""Replies of OpenAI Agents SDK models, complete, in pieces and broken off, and their events in the log."""

from __future__ import annotations

from typing import Any

import pytest
from agents import (
    Agent,
    Model,
    ModelResponse,
    Usage,
)
from agents.testing import ScriptedModel
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter

from tailrace.events import items as i
from tailrace.events import types as t
from tests.support.openai_agents_agents import (
    Scripted,
    Streams,
    answer,
    event,
    response,
    run,
    tool,
)
from tests.support.team import outputs, say, texts


async def test_usage_comes_with_each_reply() -> None:
    state = await run(Agent(name="lead", model=Scripted("lead", ((say("hi"),),))))
    total = state.total()
    assert (total.input, total.cached, total.output, total.reasoning) == (5, 2, 3, 1)
    assert list(state.usage) == [("MAIN", "fake")]


async def test_a_model_that_does_not_stream() -> None:
    class Whole(Model):
        async def get_response(self, *arguments: Any, **more: Any) -> ModelResponse:
            items = [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
                answer("whole"),
            ]  # fmt: skip
            output = TypeAdapter(list[ResponseOutputItem]).validate_python(items)
            return ModelResponse(output, Usage(output_tokens=7), None)

        def stream_response(self, *arguments: Any, **more: Any) -> Any:
            return self._stream()

        async def _stream(self) -> Any:
            raise NotImplementedError  # the SDK's models that cannot stream do this
            yield

    state = await run(Agent(name="lead", model=Whole()))
    assert [item.started.kind for item in state.items] == ["reasoning", "message"]
    assert texts(state) == ["whole"]
    assert state.total().output == 7


async def test_the_sdks_own_fake_model() -> None:
    items = [
        answer("Hello."),
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    ]
    output = TypeAdapter(list[ResponseOutputItem]).validate_python(items)
    done = TypeAdapter(list[ResponseOutputItem]).validate_python([answer("Bye.")])

    def look() -> str:
        """Look."""
        return "seen"

    lead = Agent(name="lead", model=ScriptedModel([output, done]), tools=[tool(look)])
    state = await run(lead)
    assert state.end == t.RunCompleted()
    assert texts(state) == ["Hello.", "Bye."]
    assert outputs(state) == ["seen"]


async def test_what_only_some_model_servers_have_is_kept() -> None:
    search = {
        "type": "web_search_call", "id": "ws_1", "status": "completed",
        "action": {"type": "search", "query": "x"},
    }  # fmt: skip
    note = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "T", "url": "u"}
    thought = {
        "type": "reasoning", "id": "rs_1", "encrypted_content": "sig",
        "summary": [{"type": "summary_text", "text": "so"}],
    }  # fmt: skip
    text = answer("far")
    at = {"output_index": 2, "content_index": 0, "item_id": "msg_1"}
    state = await run(
        Agent(
            name="lead",
            model=Streams(
                event("response.output_item.added", output_index=0, item={**thought, "summary": []}),
                event(
                    "response.reasoning_summary_text.delta",
                    output_index=0, item_id="rs_1", summary_index=0, delta="so",
                ),
                event("response.output_item.done", output_index=0, item=thought),
                event("response.output_item.added", output_index=1, item=search),
                event("response.output_item.done", output_index=1, item=search),
                event("response.output_item.added", output_index=2, item={**text, "content": []}),
                event("response.output_text.delta", **at, delta="far", logprobs=[]),
                event("response.output_text.annotation.added", **at, annotation_index=0, annotation=note),
                event("response.refusal.delta", **{**at, "content_index": 1}, delta="no"),
                event("response.completed", response=response([thought, search, text])),
            ),
        )
    )  # fmt: skip
    thinking, provider, message = (item.content for item in state.items)
    assert isinstance(thinking, i.Reasoning)
    assert thinking.summary == ("so",)
    assert thinking.details["responses"] == {"id": "rs_1", "encrypted_content": "sig"}
    assert provider == i.ProviderItem(dialect="responses", data=search)
    assert isinstance(message, i.Message)
    assert message.content == (i.TextPart("far", (note,)), i.RefusalPart("no"))


async def test_a_reply_that_was_cut_off_ends_the_run_early() -> None:
    said = {"type": "function_call", "id": "f", "call_id": "c1", "name": "look", "arguments": '{"a'}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    model = Streams(event("response.incomplete", response=response([answer("so"), said], **cut)))
    state = await run(Agent(name="lead", model=model))
    assert state.end == t.RunIncomplete("max_output_tokens")
    assert state.finish == "length"
    assert [item.status for item in state.items] == ["completed", "incomplete"]


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ((event("error", code="rate_limit_exceeded", message="secret"),), "rate_limit_exceeded"),
        (
            (
                event(
                    "response.failed",
                    response=response([], error={"code": "server_error", "message": "secret"}),
                ),
            ),
            "server_error",
        ),
        ((), "in the middle"),
    ],
)
async def test_a_model_that_reports_its_failure(events: tuple[Any, ...], message: str) -> None:
    state = await run(Agent(name="lead", model=Streams(*events)))
    assert isinstance(state.end, t.RunFailed)
    assert message in state.end.message
    assert "secret" not in state.end.message
