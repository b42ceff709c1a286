"""Scenarios of an official openai client with a live server; each SDK version runs them in its own process.

Prints one line per scenario: `ok NAME` or the traceback. Arguments: base URL, SDK version.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import openai

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}
CHAT_TOOL = {
    "type": "function",
    "function": {k: TOOL[k] for k in ("name", "description", "parameters")},
}

SCENARIOS: dict[str, Callable[[Any], None]] = {}


def scenario(function: Callable[[Any], None]) -> Callable[[Any], None]:
    SCENARIOS[function.__name__] = function
    return function


@scenario
def chat_plain(client: Any) -> None:
    reply = client.chat.completions.create(
        model="echo", messages=[{"role": "user", "content": "Hello there"}]
    )
    assert reply.choices[0].message.content == "Hello there"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == 4
    assert reply.id.startswith("chatcmpl-")


@scenario
def chat_streamed(client: Any) -> None:
    chunks = list(
        client.chat.completions.create(
            model="echo",
            messages=[{"role": "user", "content": "One two three"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "One two three"
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len({c.id for c in chunks}) == 1


@scenario
def chat_tools_over_two_turns(client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "client tool please"}]
    first = client.chat.completions.create(model="helper", messages=messages, tools=[CHAT_TOOL])
    calls = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert [json.loads(c.function.arguments) for c in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": c.id, "content": "fine"} for c in calls]
    second = client.chat.completions.create(model="helper", messages=messages, tools=[CHAT_TOOL])
    assert second.choices[0].message.content == "Snow and sun."


@scenario
def chat_tools_streamed(client: Any) -> None:
    stream = client.chat.completions.create(
        model="helper",
        messages=[{"role": "user", "content": "client tool please"}],
        tools=[CHAT_TOOL],
        stream=True,
    )
    made: dict[int, str] = {}
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or ():
            made[call.index] = made.get(call.index, "") + (call.function.arguments or "")
    assert [json.loads(text) for text in made.values()] == [{"city": "Oslo"}, {"city": "Rome"}]


@scenario
def chat_failure_in_the_stream(client: Any) -> None:
    stream = client.chat.completions.create(
        model="helper", messages=[{"role": "user", "content": "fail later"}], stream=True
    )
    try:
        list(stream)
    except openai.APIError as error:
        assert "died" in str(error)
    else:
        raise AssertionError("the failure was swallowed")


@scenario
def responses_plain(client: Any) -> None:
    reply = client.responses.create(model="echo", input="Hello there")
    assert reply.output_text == "Hello there"
    assert reply.status == "completed"
    assert reply.usage.total_tokens == 4
    again = client.responses.retrieve(reply.id)
    assert again.model_dump() == reply.model_dump()


@scenario
def responses_streamed(client: Any) -> None:
    kinds, text, final = [], "", None
    for event in client.responses.create(model="helper", input="hat?", stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            final = event.response
    assert text == "Let me look. Found a hat."
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert "response.mcp_call.completed" in kinds
    assert "response.reasoning_summary_text.delta" in kinds
    assert final is not None
    assert final.output_text == text
    assert [item.type for item in final.output] == ["reasoning", "message", "mcp_call", "message"]


@scenario
def responses_stream_helper(client: Any) -> None:
    with client.responses.stream(model="helper", input="hat?") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == "Let me look. Found a hat."


@scenario
def responses_resume(client: Any) -> None:
    whole = list(client.responses.create(model="helper", input="hat?", stream=True))
    id = whole[0].response.id
    for cut in (0, 5, len(whole) - 1):
        rest = list(client.responses.retrieve(id, stream=True, starting_after=cut))
        assert [e.model_dump() for e in rest] == [e.model_dump() for e in whole[cut + 1 :]]


@scenario
def responses_drop_and_resume(client: Any) -> None:
    """The client closes the connection in the middle; the run continues; the client fetches the rest by
    cursor."""
    stream = client.responses.create(model="slow", input="one two three four five six", stream=True)
    seen = []
    for event in stream:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    stream.close()
    id, last = seen[0].response.id, seen[-1].sequence_number
    rest = list(client.responses.retrieve(id, stream=True, starting_after=last))
    assert [e.sequence_number for e in rest] == list(range(last + 1, last + 1 + len(rest)))
    assert rest[-1].response.output_text == "one two three four five six"


@scenario
def responses_background_and_cancel(client: Any) -> None:
    made = client.responses.create(model="slow", input="word " * 200, background=True)
    assert made.status in ("queued", "in_progress")
    ended = client.responses.cancel(made.id)
    assert ended.status == "cancelled"
    assert client.responses.retrieve(made.id).status == "cancelled"
    done = client.responses.create(model="echo", input="x")
    try:
        client.responses.cancel(done.id)
    except openai.BadRequestError as error:
        assert "Cannot cancel a completed response" in str(error)
    else:
        raise AssertionError("an ended response was cancelled")


@scenario
def responses_chain(client: Any) -> None:
    """R130, R131: a client states a favourite colour, continues with a stream, and lists the input items of
    the chain."""
    first = client.responses.create(model="echo", input="My favourite colour is blue.")
    events = list(
        client.responses.create(
            model="echo", input="And now?", previous_response_id=first.id, stream=True
        )
    )
    second = events[-1].response
    items = client.responses.input_items.list(second.id, order="asc").data
    texts = [item.content[0].text for item in items]
    assert texts == ["My favourite colour is blue.", "My favourite colour is blue.", "And now?"]
    third = client.responses.create(model="echo", input="Last.", previous_response_id=second.id)
    assert len(client.responses.input_items.list(third.id).data) == 5
    assert third.previous_response_id == second.id


@scenario
def responses_tools_over_two_turns(client: Any) -> None:
    first = client.responses.create(model="helper", input="client tool please", tools=[TOOL])
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Oslo", "Rome"]
    outputs = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "fine"}
        for call in calls
    ]
    second = client.responses.create(
        model="helper", input=outputs, previous_response_id=first.id, tools=[TOOL]
    )
    assert second.output_text == "Snow and sun."


@scenario
def responses_failure(client: Any) -> None:
    """Older SDKs raise on the error event, newer ones pass it on; neither treats it as a normal end."""
    kinds: list[str] = []
    try:
        stream = client.responses.create(model="helper", input="fail later", stream=True)
        kinds.extend(event.type for event in stream)
    except openai.APIError as error:
        kinds.append(str(error))
    assert kinds[-2:] == ["error", "response.failed"] or kinds[-1] == "The model died."
    reply = client.responses.create(model="helper", input="fail now")
    assert reply.status == "failed"
    assert reply.error.code == "rate_limit_exceeded"


@scenario
def responses_incomplete_and_refusal(client: Any) -> None:
    cut = client.responses.create(model="helper", input="too long")
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    refused = client.responses.create(model="helper", input="refuse")
    assert refused.output[0].content[0].refusal == "No, thank you."


@scenario
def responses_input_tokens_and_delete(client: Any) -> None:
    made = client.responses.create(model="echo", input="x")
    client.responses.delete(made.id)
    try:
        client.responses.retrieve(made.id)
    except openai.NotFoundError:
        return
    raise AssertionError("a deleted response is still there")


@scenario
def unknown_models_and_ids(client: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: client.chat.completions.create(
            model="ech", messages=[{"role": "user", "content": "x"}]
        ),
        lambda: client.responses.create(model="ech", input="x"),
        lambda: client.responses.retrieve("resp_nothing"),
    ]
    for call in calls:
        try:
            call()
        except openai.NotFoundError as error:
            assert "not" in str(error)
        else:
            raise AssertionError("no 404")


@scenario
def models(client: Any) -> None:
    assert {"echo", "helper"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("echo").object == "model"


@scenario
def agent_mount(client: Any) -> None:
    """R2, R54: base_url selects the agent by its number; any model string is accepted."""
    base = str(client.base_url).rstrip("/").removesuffix("/v1")
    agent = client.with_options(base_url=f"{base}/agent/7")
    assert agent.responses.create(model="anything", input="hat?").output_text.endswith("a hat.")
    reply = agent.chat.completions.create(
        model="anything", messages=[{"role": "user", "content": "hat?"}]
    )
    assert reply.choices[0].message.content == "Let me look. \n\nFound a hat."


def main() -> int:
    base_url, version = sys.argv[1:]
    assert openai.__version__ == version, openai.__version__
    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="unused", max_retries=0)
    failed = 0
    for name, function in SCENARIOS.items():
        try:
            function(client)
        except Exception:
            failed = 1
            sys.stdout.write(f"FAILED {name}\n{traceback.format_exc()}\n")
        else:
            sys.stdout.write(f"ok {name}\n")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
