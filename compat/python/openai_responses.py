"""openai-python over Responses. Before 1.66 it had no types for it: there its `post` and `get` speak."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

from compat.python import reporting as r
from compat.python.broken import Broken

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather",
    "parameters": r.PARAMETERS,
    "strict": False,
}
HELD = hasattr(openai.OpenAI, "responses")


def client(mount: str = "/v1") -> Any:
    """A client of one mount, without retries."""
    return openai.OpenAI(base_url=r.base_url() + mount, api_key="unused", max_retries=0)


def ask(asked: Any, model: str = "helper", *, mount: str = "/v1", **more: Any) -> Any:
    """A response."""
    if HELD:
        return client(mount).responses.create(model=model, input=asked, **more)
    body = {"model": model, "input": asked, **more}
    return r.loose(client(mount).post("/responses", cast_to=object, body=body))


def stream(asked: Any, model: str = "helper", *, mount: str = "/v1", **more: Any) -> Any:
    """The events of a response."""
    if HELD:
        return client(mount).responses.create(model=model, input=asked, stream=True, **more)
    body = {"model": model, "input": asked, "stream": True, **more}
    return _untyped(
        client(mount).post(
            "/responses", cast_to=object, body=body, stream=True, stream_cls=openai.Stream[object]
        )
    )


def rest(id: str, last: int) -> Any:
    """The events after `last`."""
    if HELD:
        return client().responses.retrieve(id, stream=True, starting_after=last)
    return _untyped(
        client().get(
            f"/responses/{id}",
            cast_to=object,
            options={"params": {"stream": "true", "starting_after": last}},
            stream=True,
            stream_cls=openai.Stream[object],
        )
    )


class _untyped:
    """A stream of plain data, read as events."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __iter__(self) -> Any:
        for event in self._raw:
            yield r.loose(event["data"] if set(event) == {"event", "data"} else event)

    def close(self) -> None:
        self._raw.close()


def words(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def said(response: Any) -> str:
    """`output_text`, which is not on the wire."""
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    return "".join(part.text for part in parts if part.type == "output_text")


@r.scenario
def text() -> None:
    events = list(stream("One two three", "echo"))
    r.same([e.sequence_number for e in events], list(range(len(events))))
    r.same((events[0].type, events[-1].type), ("response.created", "response.completed"))
    r.same((words(events), said(events[-1].response)), ("One two three",) * 2)
    r.same(events[-1].response.id, events[0].response.id)
    r.same(said(ask("One two three", "echo")), "One two three")


@r.scenario
def reasoning() -> None:
    events = list(stream("think"))
    thought = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
    r.same(("".join(thought), words(events)), ("Adding up. ", "It is 4."))
    r.same(ask("think").output[0].summary[0].text, "Adding up. ")


@r.scenario
def client_tools() -> None:
    events = list(stream("both cities", tools=[TOOL]))
    whole = [e for e in events if e.type == "response.function_call_arguments.done"]
    r.same([json.loads(e.arguments) for e in whole], r.CITIES)
    first = events[-1].response
    calls = [item for item in first.output if item.type == "function_call"]
    outputs = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "fine"}
        for call in calls
    ]
    second = ask(outputs, previous_response_id=first.id, tools=[TOOL])
    r.same(said(second), "Snow and sun.")


def _mcp_call(asked: str, label: str, wanted: str, answer: str) -> None:
    events = list(stream(asked))
    kinds = [e.type for e in events]
    assert "response.mcp_call.completed" in kinds, kinds
    final = events[-1].response
    call = next(item for item in final.output if item.type == "mcp_call")
    r.same((call.server_label, words(events)), (label, wanted))
    assert answer in call.output, call.output
    assert not any(item.type == "function_call" for item in final.output)


@r.scenario
def server_tool() -> None:
    _mcp_call("Where is my hat?", "helper", "Let me look. Found a hat.", '"found":"hat"')


@r.scenario
def mcp_tool() -> None:
    _mcp_call("Read my notes", "notes", "Milk, it says.", "milk")


@r.scenario
def subagents() -> None:
    """On /agent/7 items are named by their agent; on /v1 only the main agent speaks."""
    r.same(words(list(stream("let two look"))), "I let two look. Both are back.")
    events = list(stream("let two look", "any", mount="/agent/7"))
    metadata = events[0].response.metadata
    found = metadata if isinstance(metadata, dict) else vars(metadata)
    registry = json.loads(found["x_alien_agent_registry"])
    assert {"MAIN", "researcher"} <= {agent["id"].split("#")[0] for agent in registry}, registry
    by_agent: dict[str, str] = {}
    for event in events:
        if event.type == "response.output_text.delta":
            name = event.item_id.split("::")[0].removeprefix("agent:")
            by_agent[name] = by_agent.get(name, "") + event.delta
    r.same(
        by_agent,
        {
            "MAIN": "I let two look. Both are back.",
            "researcher": "Nothing there.",
            "researcher#2": "Nothing there.",
        },
    )


@r.scenario
def refusal() -> None:
    events = list(stream("refuse"))
    pieces = [e.delta for e in events if e.type == "response.refusal.delta"]
    r.same("".join(pieces), "No, thank you.")
    r.same(ask("refuse").output[0].content[0].refusal, "No, thank you.")


def _failed(asked: str) -> str:
    """The text before the failure, which older SDKs raise and newer ones pass on as events."""
    seen: list[Any] = []
    try:
        seen.extend(stream(asked))
    except openai.APIError as error:
        assert "The model" in str(error), error
    else:
        r.same([e.type for e in seen[-2:]], ["error", "response.failed"])
        assert seen[-1].response.error.message.startswith("The model")
    return words(seen)


@r.scenario
def failure_before() -> None:
    r.same(_failed("fail before"), "")
    response = ask("fail before")
    r.same((response.status, response.error.message), ("failed", "The model is out."))
    r.raises(openai.NotFoundError, lambda: ask("x", "nobody"))


@r.scenario
def failure_during() -> None:
    r.same(_failed("fail during"), "Half of it")
    response = ask("fail during")
    r.same((response.status, response.error.code), ("failed", "server_error"))


@r.scenario
def failure_after() -> None:
    r.same(_failed("fail after"), "All of it.")
    response = ask("fail after")
    r.same((response.status, said(response)), ("failed", "All of it."))


@r.scenario
def incomplete() -> None:
    last = list(stream("too long"))[-1]
    r.same(last.type, "response.incomplete")
    r.same(last.response.incomplete_details.reason, "max_output_tokens")
    r.same(ask("too long").status, "incomplete")


@r.scenario
def cancel() -> None:
    made = ask(r.SLOW, "slow", background=True)
    if HELD:
        ended = client().responses.cancel(made.id)
    else:
        ended = r.loose(client().post(f"/responses/{made.id}/cancel", cast_to=object))
    r.same(ended.status, "cancelled")
    r.until_cancelled(made.id)


@r.scenario
def resume() -> None:
    running = stream("one two three four five six", "slow")
    seen = []
    for event in running:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    running.close()
    last = seen[-1].sequence_number
    more = list(rest(seen[0].response.id, last))
    r.same([e.sequence_number for e in more], list(range(last + 1, last + 1 + len(more))))
    r.same(words(seen) + words(more), "one two three four five six")
    r.same(said(more[-1].response), "one two three four five six")


@r.scenario
def chain() -> None:
    """previous_response_id, streamed or not; and the whole history sent again beside it."""
    wanted = "My colour is blue. | And now? (0 pictures)"
    first = ask("My colour is blue.", "witness")
    r.same(said(ask("And now?", "witness", previous_response_id=first.id)), wanted)
    streamed = list(stream("And now?", "witness", previous_response_id=first.id))
    r.same(words(streamed), wanted)
    third = ask("Last.", "witness", previous_response_id=streamed[-1].response.id)
    r.same(said(third), "My colour is blue. | And now? | Last. (0 pictures)")
    told = [
        {"role": "user", "content": "My colour is blue."},
        {"role": "assistant", "content": "Ah."},
        {"role": "user", "content": "And now?"},
    ]
    r.same(said(ask(told, "witness")), wanted)


@r.scenario
def structured() -> None:
    form = {"type": "json_schema", "name": "answer", "schema": r.ANSWER_SCHEMA, "strict": True}
    r.same(json.loads(said(ask("as json", text={"format": form}))), r.ANSWER)
    r.same(json.loads(words(list(stream("as json", text={"format": form})))), r.ANSWER)


@r.scenario
def image() -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{r.PICTURE}"},
    ]
    response = ask([{"role": "user", "content": parts}], "witness")
    r.same(said(response), "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(words(list(stream(r.UNICODE, "echo"))), r.UNICODE)
    r.same(said(ask(r.UNICODE, "echo")), r.UNICODE)


@r.scenario
def long() -> None:
    events = list(stream(r.LONG, "echo"))
    r.same(words(events), r.LONG)
    r.same(said(events[-1].response), r.LONG)


@r.scenario
def retry() -> None:
    broken = Broken()
    again = openai.OpenAI(base_url=f"{broken.base_url}/v1", api_key="unused", max_retries=1)
    body = {"model": "echo", "input": broken.words}
    r.same(said(r.loose(again.post("/responses", cast_to=object, body=body))), broken.words)
    broken.check()


@r.scenario
def approval() -> None:
    first = list(stream("Where is my hat?", "clerk"))[-1].response
    (asked,) = [item for item in first.output if item.type == "mcp_approval_request"]
    r.same((asked.name, json.loads(asked.arguments)), ("find", {"what": "hat"}))
    yes = {"type": "mcp_approval_response", "approval_request_id": asked.id, "approve": True}
    r.same(words(list(stream([yes], "clerk", previous_response_id=first.id))), "Found a hat.")
    first = list(stream("Where is my hat?", "clerk"))[-1].response
    (asked,) = [item for item in first.output if item.type == "mcp_approval_request"]
    both = [{**yes, "approval_request_id": asked.id}, {"role": "user", "content": "think"}]
    second = list(stream(both, "clerk", previous_response_id=first.id))
    r.same(words(second), "It is 4.")
    (call,) = [item for item in second[-1].response.output if item.type == "mcp_call"]
    r.same((call.name, call.status), ("find", "completed"))


if __name__ == "__main__":
    sys.exit(r.main(openai.__version__))
