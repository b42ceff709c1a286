"""openai-python over Chat Completions, from 1.50 on."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

from compat.python import reporting as r
from compat.python.broken import Broken

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather", "parameters": r.PARAMETERS},
}


def client(mount: str = "/v1") -> Any:
    """A client of one mount, without retries."""
    return openai.OpenAI(base_url=r.base_url() + mount, api_key="unused", max_retries=0)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def ask(text: str, model: str = "helper", *, mount: str = "/v1", **more: Any) -> Any:
    return client(mount).chat.completions.create(model=model, messages=[user(text)], **more)


def read(stream: Any) -> tuple[str, list[Any], list[Any]]:
    """A stream's text, its choices and its chunks."""
    chunks = list(stream)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return "".join(choice.delta.content or "" for choice in choices), choices, chunks


@r.scenario
def text() -> None:
    asked = ask("One two three", "echo", stream=True, stream_options={"include_usage": True})
    got, choices, chunks = read(asked)
    r.same((got, choices[-1].finish_reason), ("One two three", "stop"))
    r.same(chunks[-1].usage.completion_tokens, 3)
    r.same(ask("One two three", "echo").choices[0].message.content, got)


@r.scenario
def reasoning() -> None:
    got, choices, _ = read(ask("think", stream=True))
    thought = "".join(getattr(choice.delta, "reasoning_content", None) or "" for choice in choices)
    r.same((thought, got), ("Adding up. ", "It is 4."))
    r.same(ask("think").choices[0].message.reasoning_content, "Adding up. ")


@r.scenario
def client_tools() -> None:
    made: dict[int, list[str]] = {}
    for choice in read(ask("both cities", tools=[TOOL], stream=True))[1]:
        for call in choice.delta.tool_calls or ():
            place = made.setdefault(call.index, [call.id, ""])
            place[1] += call.function.arguments or ""
    r.same([json.loads(arguments) for _, arguments in made.values()], r.CITIES)
    first = ask("both cities", tools=[TOOL]).choices[0]
    calls = first.message.tool_calls
    r.same(first.finish_reason, "tool_calls")
    r.same([call.id for call in calls], [id for id, _ in made.values()])
    outputs = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    messages = [user("both cities"), first.message.model_dump(exclude_none=True), *outputs]
    second = client().chat.completions.create(model="helper", messages=messages, tools=[TOOL])
    r.same(second.choices[0].message.content, "Snow and sun.")


def _no_calls(asked: str, wanted: str) -> None:
    got, choices, _ = read(ask(asked, stream=True))
    r.same((got, choices[-1].finish_reason), (wanted, "stop"))
    assert not any(choice.delta.tool_calls for choice in choices), "the client saw calls"


@r.scenario
def server_tool() -> None:
    _no_calls("Where is my hat?", "Let me look. \n\nFound a hat.")


@r.scenario
def mcp_tool() -> None:
    _no_calls("Read my notes", "Milk, it says.")


@r.scenario
def subagents() -> None:
    """On /agent/7 the extension says who speaks; on /v1 only the main agent does."""
    r.same(read(ask("let two look", stream=True))[0], "I let two look. \n\nBoth are back.")
    by_agent: dict[str, str] = {}
    for chunk in ask("let two look", "any", mount="/agent/7", stream=True):
        said = chunk.choices[0].delta.content if chunk.choices else ""
        name = chunk.x_alien["agent_id"]
        by_agent[name] = by_agent.get(name, "") + (said or "")
    spoken = {name: " ".join(said.split()) for name, said in by_agent.items()}
    r.same(spoken["researcher"], "Nothing there.")
    r.same(spoken["researcher#2"], "Nothing there.")
    r.same(spoken["MAIN"], "I let two look. Both are back.")


@r.scenario
def refusal() -> None:
    choices = read(ask("refuse", stream=True))[1]
    said = "".join(getattr(choice.delta, "refusal", None) or "" for choice in choices)
    r.same(said, "No, thank you.")
    r.same(ask("refuse").choices[0].message.refusal, said)


@r.scenario
def failure_before() -> None:
    r.raises(openai.APIError, lambda: read(ask("fail before", stream=True)), "The model is out.")
    r.raises(openai.BadRequestError, lambda: ask("fail before"), "The model is out.")
    r.raises(openai.NotFoundError, lambda: ask("x", "nobody"))


@r.scenario
def failure_during() -> None:
    seen: list[Any] = []
    stream = ask("fail during", stream=True)
    r.raises(openai.APIError, lambda: seen.extend(stream), "The model died.")
    assert any(chunk.choices[0].delta.content for chunk in seen), "nothing came before the error"
    r.raises(openai.InternalServerError, lambda: ask("fail during"), "The model died.")


@r.scenario
def failure_after() -> None:
    seen: list[Any] = []
    stream = ask("fail after", stream=True)
    r.raises(openai.APIError, lambda: seen.extend(stream), "The model died.")
    r.same("".join(chunk.choices[0].delta.content or "" for chunk in seen), "All of it.")


@r.scenario
def incomplete() -> None:
    r.same(read(ask("too long", stream=True))[1][-1].finish_reason, "length")
    r.same(ask("too long").choices[0].finish_reason, "length")


@r.scenario
def cancel() -> None:
    """Closing the stream is this protocol's way to cancel; the server waits a moment for a reader."""
    stream = ask(r.SLOW, "slow", stream=True)
    id = next(iter(stream)).id
    stream.close()
    r.until_cancelled(id)


@r.scenario
def chain() -> None:
    told = [user("My colour is blue."), {"role": "assistant", "content": "Ah."}, user("And now?")]
    reply = client().chat.completions.create(model="witness", messages=told)
    wanted = "My colour is blue. | And now? (0 pictures)"
    r.same(reply.choices[0].message.content, wanted)


@r.scenario
def structured() -> None:
    form = {"name": "answer", "schema": r.ANSWER_SCHEMA, "strict": True}
    asked: Any = {"response_format": {"type": "json_schema", "json_schema": form}}
    r.same(json.loads(ask("as json", **asked).choices[0].message.content), r.ANSWER)
    r.same(json.loads(read(ask("as json", **asked, stream=True))[0]), r.ANSWER)


@r.scenario
def image() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{r.PICTURE}"}},
    ]
    messages: Any = [{"role": "user", "content": parts}]
    reply = client().chat.completions.create(model="witness", messages=messages)
    r.same(reply.choices[0].message.content, "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(read(ask(r.UNICODE, "echo", stream=True))[0], r.UNICODE)
    r.same(ask(r.UNICODE, "echo").choices[0].message.content, r.UNICODE)


@r.scenario
def long() -> None:
    r.same(read(ask(r.LONG, "echo", stream=True))[0], r.LONG)


@r.scenario
def retry() -> None:
    broken = Broken()
    again = openai.OpenAI(base_url=f"{broken.base_url}/v1", api_key="unused", max_retries=1)
    asked: Any = {"model": "echo", "messages": [user(broken.words)]}
    r.same(again.chat.completions.create(**asked).choices[0].message.content, broken.words)
    broken.check()


@r.scenario
def approval() -> None:
    """The call by which the run asks, and its output; on a second run the user's words."""
    messages = [user("Where is my hat?")]
    fields: Any = {"model": "clerk", "stream": True}
    for words in (False, True):
        got, choices, _ = read(client().chat.completions.create(messages=messages, **fields))
        r.same(choices[-1].finish_reason, "tool_calls")
        calls = [call for choice in choices for call in choice.delta.tool_calls or ()]
        arguments = "".join(call.function.arguments or "" for call in calls)
        shown = json.loads(arguments)
        r.same(
            (calls[0].function.name, shown["tool"], shown["arguments"]),
            ("ask_user", "find", {"what": "hat"}),
        )
        function = {"name": "ask_user", "arguments": arguments}
        call = {"id": calls[0].id, "type": "function", "function": function}
        asked = {"role": "assistant", "content": got, "tool_calls": [call]}
        output = {"role": "tool", "tool_call_id": calls[0].id, "content": '{"approved": true}'}
        answered = [*messages, asked, user("yes") if words else output]
        got, choices, _ = read(client().chat.completions.create(messages=answered, **fields))
        r.same((got, choices[-1].finish_reason), ("Found a hat.", "stop"))


if __name__ == "__main__":
    sys.exit(r.main(openai.__version__))
