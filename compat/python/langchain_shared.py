"""What LangChain's chat models go through alike, for both scripts; each brings its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from compat.python import reporting as r
from compat.python.broken import Broken

_makers: list[Callable[..., Any]] = []
REMEMBERED = "My colour is blue. | And now? (0 pictures)"


def use(maker: Callable[..., Any]) -> Callable[..., Any]:
    """Make a script's function the one that makes the models: of an agent's name, its mount and settings."""
    _makers.append(maker)
    return maker


def model(name: str = "helper", **more: Any) -> Any:
    """A model of the script's."""
    return _makers[0](name, **more)


def stream(asked: Any, name: str = "helper", **more: Any) -> tuple[str, Any]:
    """The text as it streamed, and all chunks added up."""
    chunks = list(model(name, **more).stream(asked))
    return "".join(chunk.text for chunk in chunks), sum(chunks[1:], chunks[0])


def failed(kind: Any, asked: str, wanted: str) -> None:
    """The stream raises, after all that was said."""
    seen: list[str] = []

    def read() -> None:
        seen.extend(chunk.text for chunk in model().stream(asked))

    r.raises(kind, read, "The model died.")
    r.same("".join(seen), wanted)
    r.raises(kind, lambda: model().invoke(asked), "The model died.")


@tool
def get_weather(city: str) -> str:
    """Weather."""
    return f"fine in {city}"


@r.scenario
def reasoning() -> None:
    got, whole = stream("think")
    r.same(got, "It is 4.")
    block = next(block for block in whole.content_blocks if block["type"] == "reasoning")
    r.same(block["reasoning"], "Adding up. ")


@r.scenario
def client_tools() -> None:
    asks = model().bind_tools([get_weather])
    messages: list[Any] = [HumanMessage("both cities")]
    chunks = list(asks.stream(messages))
    first = sum(chunks[1:], chunks[0])
    r.same([call["args"] for call in first.tool_calls], r.CITIES)
    messages.append(first)
    messages += [ToolMessage("fine", tool_call_id=call["id"]) for call in first.tool_calls]
    r.same(asks.invoke(messages).text, "Snow and sun.")


@r.scenario
def chain() -> None:
    told = [HumanMessage("My colour is blue."), AIMessage("Ah."), HumanMessage("And now?")]
    r.same(model("witness").invoke(told).text, REMEMBERED)


@r.scenario
def retry() -> None:
    broken = Broken()
    r.same(model("echo", at=broken.base_url, retries=1).invoke(broken.words).text, broken.words)
    broken.check()


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
    r.same(model("echo").invoke(r.UNICODE).text, r.UNICODE)


@r.scenario
def long() -> None:
    r.same(stream(r.LONG, "echo")[0], r.LONG)
