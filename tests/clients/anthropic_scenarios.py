"""Scenarios of an official anthropic client with a live server; each SDK version runs them in its own
process.

Prints one line per scenario: `ok NAME` or the traceback. Arguments: base URL.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

import anthropic

TOOL = {
    "name": "get_weather",
    "description": "Weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
SCENARIOS: dict[str, Callable[[Any], None]] = {}


def scenario(function: Callable[[Any], None]) -> Callable[[Any], None]:
    SCENARIOS[function.__name__] = function
    return function


def ask(client: Any, text: str, model: str = "echo", **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.messages.create(model=model, max_tokens=500, messages=messages, **more)


@scenario
def plain(client: Any) -> None:
    reply = ask(client, "Hello there")
    assert [block.text for block in reply.content] == ["Hello there"]
    assert (reply.stop_reason, reply.role, reply.model) == ("end_turn", "assistant", "echo")
    assert reply.id.startswith("msg_")
    assert reply.usage.output_tokens == 2
    assert reply._request_id.startswith("run_")


@scenario
def streamed(client: Any) -> None:
    asked = {"role": "user", "content": "One two three"}
    with client.messages.stream(model="echo", max_tokens=9, messages=[asked]) as stream:
        assert "".join(stream.text_stream) == "One two three"
        final = stream.get_final_message()
    assert final.usage.output_tokens == 3
    assert final.usage.input_tokens > 0
    assert final.stop_reason == "end_turn"


@scenario
def raw_events(client: Any) -> None:
    kinds = [event.type for event in ask(client, "One two", stream=True)]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@scenario
def thinking_and_a_tool_of_ours(client: Any) -> None:
    asked = {"role": "user", "content": "Where is my hat?"}
    with client.messages.stream(model="helper", max_tokens=9, messages=[asked]) as stream:
        kinds = [event.content_block.type for event in stream if event.type == "content_block_stop"]
        final = stream.get_final_message()
    assert kinds == ["thinking", "text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert final.content[0].thinking == "I look."
    assert final.stop_reason == "end_turn"
    beta = client.beta.messages.create(model="helper", max_tokens=9, messages=[asked])
    call = next(block for block in beta.content if block.type == "mcp_tool_use")
    assert (call.name, call.input) == ("find", {"what": "hat"})
    again = [asked, {"role": "assistant", "content": [b.model_dump() for b in beta.content]}]
    again.append({"role": "user", "content": "Thanks"})
    reply = client.messages.create(model="echo", max_tokens=9, messages=again)
    assert reply.content[-1].text == "Thanks"


@scenario
def tools_over_two_turns(client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": "client tool please"}]
    with client.messages.stream(
        model="helper", max_tokens=99, messages=messages, tools=[TOOL]
    ) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    messages.append({"role": "assistant", "content": first.content})
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": "fine"} for c in calls]
    messages.append({"role": "user", "content": results})
    second = client.messages.create(model="helper", max_tokens=99, messages=messages, tools=[TOOL])
    assert second.content[-1].text == "Snow and sun."


@scenario
def refusal(client: Any) -> None:
    reply = ask(client, "refuse", "helper")
    assert reply.content[-1].text == "No, thank you."


@scenario
def incomplete(client: Any) -> None:
    assert ask(client, "too long", "helper").stop_reason == "max_tokens"


@scenario
def structured_output(client: Any) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    reply = ask(client, "json", "helper", extra_body={"output_config": {"format": form}})
    assert reply.content[-1].text == '{"a": 1}'


@scenario
def image_and_unicode(client: Any) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    words = "Grüße, 世界 👩‍🚀\u2028 end"
    content = [{"type": "image", "source": source}, {"type": "text", "text": words}]
    messages = [{"role": "user", "content": content}]
    with client.messages.stream(model="echo", max_tokens=9, messages=messages) as stream:
        assert stream.get_final_text() == words


@scenario
def long_answer(client: Any) -> None:
    words = "word " * 5000
    messages = [{"role": "user", "content": words}]
    with client.messages.stream(model="echo", max_tokens=9, messages=messages) as stream:
        assert stream.get_final_text() == words


@scenario
def counting(client: Any) -> None:
    messages = [{"role": "user", "content": "Hello there"}]
    counted = client.messages.count_tokens(model="echo", messages=messages)
    assert counted.input_tokens > 0


def expect(kind: type[Exception], call: Callable[[], Any]) -> Any:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


@scenario
def failure_before(client: Any) -> None:
    error = expect(anthropic.NotFoundError, lambda: ask(client, "x", "nobody"))
    assert error.body["error"]["type"] == "not_found_error"
    assert error.request_id.startswith("req_")
    assert error.body["request_id"] == error.request_id
    expect(anthropic.BadRequestError, lambda: ask(client, "x", tools=[{"name": 1}]))


@scenario
def failure_during(client: Any) -> None:
    error = expect(anthropic.RateLimitError, lambda: ask(client, "fail now", "helper"))
    assert error.body["error"]["message"] == "The model is out."
    error = expect(anthropic.InternalServerError, lambda: ask(client, "fail later", "helper"))
    seen: list[str] = []

    def read() -> None:
        seen.extend(event.type for event in ask(client, "fail later", "helper", stream=True))

    error = expect(anthropic.APIStatusError, read)
    assert error.body["error"] == {"type": "api_error", "message": "The model died."}
    assert "content_block_delta" in seen


def main() -> int:
    """Run all scenarios; the exit status is 0 if all succeed."""
    client = anthropic.Anthropic(base_url=sys.argv[1], api_key="any", max_retries=0)
    failed = 0
    for name, run in SCENARIOS.items():
        try:
            run(client)
            sys.stdout.write(f"ok {name}\n")
        except Exception:
            failed = 1
            sys.stdout.write(f"FAILED {name}\n{traceback.format_exc()}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
