"""LangChain's ChatAnthropic over Messages."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from compat.python import reporting as r


@tool
def get_weather(city: str) -> str:
    """Weather."""
    return f"fine in {city}"


def model(name: str = "helper", *, mount: str = "", **more: Any) -> Any:
    made: dict[str, Any] = {"max_retries": 0, "max_tokens": 9000, **more}
    made |= {"model": name, "base_url": r.base_url() + mount, "api_key": "unused"}
    return ChatAnthropic(**made)


def stream(asked: Any, name: str = "helper", **more: Any) -> tuple[str, Any]:
    """The text as it streamed, and all chunks added up."""
    whole: Any = None
    text = ""
    for chunk in model(name, **more).stream(asked):
        text += chunk.text
        whole = chunk if whole is None else whole + chunk
    return text, whole


@r.scenario
def text() -> None:
    got, whole = stream("One two three", "echo")
    r.same((got, whole.usage_metadata["output_tokens"]), ("One two three", 3))
    r.same(whole.response_metadata["stop_reason"], "end_turn")
    r.same(model("echo").invoke("One two three").text, got)


@r.scenario
def reasoning() -> None:
    got, whole = stream("think")
    r.same(got, "It is 4.")
    block = next(block for block in whole.content_blocks if block["type"] == "reasoning")
    r.same(block["reasoning"], "Adding up. ")


@r.scenario
def client_tools() -> None:
    messages: list[Any] = [HumanMessage("both cities")]
    first: Any = None
    for chunk in model().bind_tools([get_weather]).stream(messages):
        first = chunk if first is None else first + chunk
    r.same([call["args"] for call in first.tool_calls], r.CITIES)
    messages.append(first)
    messages += [ToolMessage("fine", tool_call_id=call["id"]) for call in first.tool_calls]
    r.same(model().bind_tools([get_weather]).invoke(messages).text, "Snow and sun.")


def _ran_there(asked: str, wanted: str) -> None:
    got, whole = stream(asked)
    r.same((" ".join(got.split()), whole.tool_calls), (wanted, []))
    kinds = {block["type"] for block in whole.content if not isinstance(block, str)}
    assert {"mcp_tool_use", "mcp_tool_result"} <= kinds, whole.content
    again = [HumanMessage(asked), whole, HumanMessage("Thanks")]
    r.same(model("witness").invoke(again).text, f"{asked} | Thanks (0 pictures)")
    reply = model().invoke(asked)
    r.same(" ".join(reply.text.split()), wanted)
    again[1] = reply
    r.same(model("witness").invoke(again).text, f"{asked} | Thanks (0 pictures)")


@r.scenario
def server_tool() -> None:
    _ran_there("Where is my hat?", "Let me look. Found a hat.")


@r.scenario
def mcp_tool() -> None:
    _ran_there("Read my notes", "Milk, it says.")


@r.scenario
def subagents() -> None:
    r.same(" ".join(stream("let two look")[0].split()), "I let two look. Both are back.")


@r.scenario
def refusal() -> None:
    r.same(stream("refuse")[0], "No, thank you.")


@r.scenario
def failure_before() -> None:
    r.raises(anthropic.APIStatusError, lambda: stream("fail before"), "The model is out.")
    r.raises(anthropic.BadRequestError, lambda: model().invoke("fail before"), "is out.")
    r.raises(anthropic.NotFoundError, lambda: model("nobody").invoke("x"))


def _failed(asked: str, wanted: str) -> None:
    seen: list[str] = []

    def read() -> None:
        seen.extend(chunk.text for chunk in model().stream(asked))

    r.raises(anthropic.APIStatusError, read, "The model died.")
    r.same("".join(seen), wanted)


@r.scenario
def failure_during() -> None:
    _failed("fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    _failed("fail after", "All of it.")


@r.scenario
def incomplete() -> None:
    r.same(stream("too long")[1].response_metadata["stop_reason"], "max_tokens")
    r.same(model().invoke("too long").response_metadata["stop_reason"], "max_tokens")


@r.scenario
def cancel() -> None:
    words = f"langchain messages {r.SLOW}"
    running = model("slow").stream(words)
    next(running)
    running.close()
    r.until_cancelled(r.run_of(words))


@r.scenario
def chain() -> None:
    told = [HumanMessage("My colour is blue."), AIMessage("Ah."), HumanMessage("And now?")]
    wanted = "My colour is blue. | And now? (0 pictures)"
    r.same(model("witness").invoke(told).text, wanted)


@r.scenario
def structured() -> None:
    schema = {"title": "answer", **r.ANSWER_SCHEMA}
    asked = model().with_structured_output(schema, method="json_schema")
    r.same(asked.invoke("as json"), r.ANSWER)


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


@r.scenario
def long() -> None:
    r.same(stream(r.LONG, "echo")[0], r.LONG)


if __name__ == "__main__":
    sys.exit(r.main(version("langchain-anthropic")))
