"""LangChain's ChatOpenAI; the argument says over which surface: chat or responses."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import openai
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from compat.python import reporting as r


@tool
def get_weather(city: str) -> str:
    """Weather."""
    return f"fine in {city}"


def responses() -> bool:
    return r.argument() == "responses"


def model(name: str = "helper", *, mount: str = "/v1", **more: Any) -> Any:
    made: dict[str, Any] = {"use_responses_api": responses(), "max_retries": 0, **more}
    return ChatOpenAI(model=name, base_url=r.base_url() + mount, api_key="unused", **made)


def stream(asked: Any, name: str = "helper", **more: Any) -> tuple[str, Any]:
    """The text as it streamed, and all chunks added up."""
    chunks = list(model(name, stream_usage=True, **more).stream(asked))
    return "".join(chunk.text for chunk in chunks), sum(chunks[1:], chunks[0])


@r.scenario
def text() -> None:
    got, whole = stream("One two three", "echo")
    r.same((got, whole.usage_metadata["output_tokens"]), ("One two three", 3))
    r.same(model("echo").invoke("One two three").text, got)
    if responses():
        # The client puts it on its first chunk and leaves it out of the last; the sum has it.
        assert whole.response_metadata["id"].startswith("resp_"), whole.response_metadata
    else:
        r.same(whole.response_metadata["finish_reason"], "stop")


@r.scenario
def reasoning() -> None:
    got, whole = stream("think")
    r.same(got, "It is 4.")
    block = next(block for block in whole.content_blocks if block["type"] == "reasoning")
    r.same(block["reasoning"], "Adding up. ")


@r.scenario
def client_tools() -> None:
    tools = [get_weather]
    messages: list[Any] = [HumanMessage("both cities")]
    first: Any = None
    for chunk in model().bind_tools(tools).stream(messages):
        first = chunk if first is None else first + chunk
    r.same([call["args"] for call in first.tool_calls], r.CITIES)
    messages.append(first)
    messages += [ToolMessage("fine", tool_call_id=call["id"]) for call in first.tool_calls]
    r.same(model().bind_tools(tools).invoke(messages).text, "Snow and sun.")


def _ran_there(asked: str, wanted: str) -> None:
    got, whole = stream(asked)
    r.same((" ".join(got.split()), whole.tool_calls), (wanted, []))
    if responses():
        assert "mcp_call" in {block.get("type") for block in whole.content}, whole.content
    r.same(" ".join(model().invoke(asked).text.split()), wanted)


@r.scenario
def server_tool() -> None:
    _ran_there("Where is my hat?", "Let me look. Found a hat.")


@r.scenario
def mcp_tool() -> None:
    _ran_there("Read my notes", "Milk, it says.")


@r.scenario
def subagents() -> None:
    r.same(" ".join(stream("let two look")[0].split()), "I let two look. Both are back.")
    got, _ = stream("let two look", "any", mount="/agent/7")
    r.same((got.count("Nothing"), got.count("there.")), (2, 2))


@r.scenario
def refusal() -> None:
    """Kept beside the text; on Chat this client drops it from streams."""
    assert "No, thank you." in repr(model().invoke("refuse")), "lost"
    if responses():
        assert "No, thank you." in repr(stream("refuse")[1]), "the stream lost it"


@r.scenario
def failure_before() -> None:
    r.raises(Exception, lambda: stream("fail before"), "The model is out.")
    r.raises(Exception, lambda: model().invoke("fail before"), "The model is out.")
    r.raises(openai.NotFoundError, lambda: model("nobody").invoke("x"))


def _failed(asked: str, wanted: str) -> None:
    seen: list[str] = []

    def read() -> None:
        seen.extend(chunk.text for chunk in model().stream(asked))

    r.raises(Exception, read, "The model died.")
    r.same("".join(seen), wanted)
    r.raises(Exception, lambda: model().invoke(asked), "The model died.")


@r.scenario
def failure_during() -> None:
    _failed("fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    _failed("fail after", "All of it.")


@r.scenario
def incomplete() -> None:
    reply = model().invoke("too long")
    _, whole = stream("too long")
    for told in (reply.response_metadata, whole.response_metadata):
        if responses():
            r.same(told["status"], "incomplete")
        else:
            r.same(told["finish_reason"], "length")


@r.scenario
def cancel() -> None:
    """Leaving the stream closes it, which on Chat is the way to cancel."""
    running = model("slow", include_response_headers=True).stream(r.SLOW)
    headers = next(running).response_metadata["headers"]
    running.close()
    r.until_cancelled(headers["x-run-id"])


@r.scenario
def chain() -> None:
    wanted = "My colour is blue. | And now? (0 pictures)"
    told = [HumanMessage("My colour is blue."), AIMessage("Ah."), HumanMessage("And now?")]
    r.same(model("witness").invoke(told).text, wanted)
    if not responses():
        return
    _, first = stream("My colour is blue.", "witness")
    id = first.response_metadata["id"]
    again = model("witness").invoke("And now?", previous_response_id=id)
    r.same(again.text, wanted)
    more = {"previous_response_id": again.response_metadata["id"]}
    streamed = "".join(chunk.text for chunk in model("witness").stream("Last.", **more))
    r.same(streamed, "My colour is blue. | And now? | Last. (0 pictures)")
    auto = model("witness", use_previous_response_id=True)
    history = [HumanMessage("My colour is blue."), first, HumanMessage("And now?")]
    r.same(auto.invoke(history).text, wanted)


@r.scenario
def structured() -> None:
    schema = {"title": "answer", **r.ANSWER_SCHEMA}
    r.same(model().with_structured_output(schema, method="json_schema").invoke("as json"), r.ANSWER)


@r.scenario
def image() -> None:
    parts: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "base64": r.PICTURE, "mime_type": "image/png"},
    ]
    reply = model("witness").invoke([HumanMessage(content=parts)])
    r.same(reply.text, "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(stream(r.UNICODE, "echo")[0], r.UNICODE)
    r.same(model("echo").invoke(r.UNICODE).text, r.UNICODE)


@r.scenario
def long() -> None:
    r.same(stream(r.LONG, "echo")[0], r.LONG)


if __name__ == "__main__":
    sys.exit(r.main(version("langchain-openai")))
