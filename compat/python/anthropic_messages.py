"""anthropic-python over Messages; the beta client where blocks of server-run tools are its own."""

from __future__ import annotations

import json
import sys
from typing import Any

import anthropic

from compat.python import reporting as r
from compat.python.broken import Broken

TOOL = {"name": "get_weather", "description": "Weather", "input_schema": r.PARAMETERS}


def client(mount: str = "") -> Any:
    """A client of one mount, without retries. The SDK adds /v1, which is a mount here."""
    return anthropic.Anthropic(base_url=r.base_url() + mount, api_key="unused", max_retries=0)


def body(asked: Any, model: str = "helper", **more: Any) -> dict[str, Any]:
    messages = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    return {"model": model, "max_tokens": 9000, "messages": messages, **more}


def ask(asked: Any, model: str = "helper", **more: Any) -> Any:
    return client().messages.create(**body(asked, model, **more))


def stream(asked: Any, model: str = "helper", **more: Any) -> tuple[str, Any]:
    """The streamed text and the final message."""
    with client().messages.stream(**body(asked, model, **more)) as events:
        text = "".join(events.text_stream)
        return text, events.get_final_message()


@r.scenario
def text() -> None:
    got, final = stream("One two three", "echo")
    r.same((got, final.stop_reason), ("One two three", "end_turn"))
    r.same(final.usage.output_tokens, 3)
    r.same(ask("One two three", "echo").content[0].text, got)


@r.scenario
def reasoning() -> None:
    got, final = stream("think")
    r.same((got, final.content[0].type), ("It is 4.", "thinking"))
    r.same(final.content[0].thinking, "Adding up. ")
    r.same(ask("think").content[0].thinking, "Adding up. ")


@r.scenario
def client_tools() -> None:
    messages: list[Any] = [{"role": "user", "content": "both cities"}]
    _, first = stream(messages, tools=[TOOL])
    calls = [block for block in first.content if block.type == "tool_use"]
    r.same((first.stop_reason, [call.input for call in calls]), ("tool_use", r.CITIES))
    messages.append({"role": "assistant", "content": first.content})
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": "fine"} for c in calls]
    messages.append({"role": "user", "content": results})
    r.same(stream(messages, tools=[TOOL])[0], "Snow and sun.")


def _ran_there(asked: str, name: str, server: str, wanted: str, answer: str) -> None:
    got, final = stream(asked)
    r.same((" ".join(got.split()), final.stop_reason), (wanted, "end_turn"))
    reply = client().beta.messages.create(**body(asked))
    call = next(block for block in reply.content if block.type == "mcp_tool_use")
    r.same((call.name, call.server_name), (name, server))
    result = next(block for block in reply.content if block.type == "mcp_tool_result")
    r.same((result.tool_use_id, result.is_error), (call.id, False))
    assert answer in result.content[0].text, result


@r.scenario
def server_tool() -> None:
    _ran_there("Where is my hat?", "find", "helper", "Let me look. Found a hat.", '"found":"hat"')


@r.scenario
def mcp_tool() -> None:
    _ran_there("Read my notes", "echo", "notes", "Milk, it says.", "milk")


@r.scenario
def subagents() -> None:
    """The SDK asks for /v1/messages below its base URL; an agent's own mount is asked for by `post`."""
    r.same(" ".join(stream("let two look")[0].split()), "I let two look. Both are back.")
    raw = client().post(
        "/agent/7/messages", cast_to=object, body={**body("let two look", "any"), "stream": False}
    )
    texts = [" ".join(block["text"].split()) for block in raw["content"] if block["type"] == "text"]
    r.same(sorted(texts), ["Both are back.", "I let two look.", *["Nothing there."] * 2])


@r.scenario
def refusal() -> None:
    r.same(stream("refuse")[0], "No, thank you.")


@r.scenario
def failure_before() -> None:
    r.raises(anthropic.APIStatusError, lambda: stream("fail before"), "The model is out.")
    r.raises(anthropic.BadRequestError, lambda: ask("fail before"), "The model is out.")
    r.raises(anthropic.NotFoundError, lambda: ask("x", "nobody"))


def _failed(asked: str, wanted: str) -> None:
    seen: list[str] = []

    def read() -> None:
        with client().messages.stream(**body(asked)) as events:
            seen.extend(events.text_stream)

    r.raises(anthropic.APIStatusError, read, "The model died.")
    r.same("".join(seen), wanted)
    r.raises(anthropic.InternalServerError, lambda: ask(asked), "The model died.")


@r.scenario
def failure_during() -> None:
    _failed("fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    _failed("fail after", "All of it.")


@r.scenario
def incomplete() -> None:
    r.same(stream("too long")[1].stop_reason, "max_tokens")
    r.same(ask("too long").stop_reason, "max_tokens")


@r.scenario
def cancel() -> None:
    """Closing the stream is this protocol's way to cancel; the server waits a moment for a reader."""
    events = ask(r.SLOW, "slow", stream=True)
    id = next(iter(events)).message.id
    events.close()
    r.until_cancelled(id)


@r.scenario
def chain() -> None:
    told = [
        {"role": "user", "content": "My colour is blue."},
        {"role": "assistant", "content": "Ah."},
        {"role": "user", "content": "And now?"},
    ]
    wanted = "My colour is blue. | And now? (0 pictures)"
    r.same(ask(told, "witness").content[0].text, wanted)


@r.scenario
def structured() -> None:
    form = {"output_config": {"format": {"type": "json_schema", "schema": r.ANSWER_SCHEMA}}}
    r.same(json.loads(ask("as json", extra_body=form).content[-1].text), r.ANSWER)
    r.same(json.loads(stream("as json", extra_body=form)[0]), r.ANSWER)


@r.scenario
def image() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": r.PICTURE}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    reply = ask([{"role": "user", "content": parts}], "witness")
    r.same(reply.content[0].text, "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(stream(r.UNICODE, "echo")[0], r.UNICODE)
    r.same(ask(r.UNICODE, "echo").content[0].text, r.UNICODE)


@r.scenario
def long() -> None:
    r.same(stream(r.LONG, "echo")[0], r.LONG)


@r.scenario
def retry() -> None:
    broken = Broken()
    again: Any = anthropic.Anthropic(base_url=broken.base_url, api_key="unused", max_retries=1)
    r.same(again.messages.create(**body(broken.words, "echo")).content[0].text, broken.words)
    broken.check()


@r.scenario
def approval() -> None:
    """The call by which the run asks, and its result; on a second run the user's words."""
    question = {"role": "user", "content": "Where is my hat?"}
    for words in (False, True):
        _, first = stream([question], "clerk")
        r.same(first.stop_reason, "tool_use")
        (call,) = [block for block in first.content if block.type == "tool_use"]
        r.same(
            (call.name, call.input["tool"], call.input["arguments"]),
            ("ask_user", "find", {"what": "hat"}),
        )
        asked = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": '{"approved": true}'}
        answer = {"role": "user", "content": "Yes." if words else [result]}
        messages = [question, {"role": "assistant", "content": [asked]}, answer]
        got, final = stream(messages, "clerk")
        r.same((got, final.stop_reason), ("Found a hat.", "end_turn"))


if __name__ == "__main__":
    sys.exit(r.main(anthropic.__version__))
