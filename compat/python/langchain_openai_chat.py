"""LangChain's ChatOpenAI; the argument says over which surface: chat or responses."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import openai
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from compat.python import langchain_shared as shared
from compat.python import reporting as r
from compat.python.langchain_shared import failed, stream, use


def responses() -> bool:
    return r.argument() == "responses"


@use
def model(
    name: str = "helper", *, mount: str = "/v1", at: str = "", retries: int = 0, **more: Any
) -> Any:
    base: Any = {
        "base_url": (at or r.base_url()) + mount,
        "api_key": "unused",
        "stream_usage": True,
    }
    made: dict[str, Any] = {"use_responses_api": responses(), "max_retries": retries, **more}
    return ChatOpenAI(model=name, **base, **made)


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


@r.scenario
def failure_during() -> None:
    failed(Exception, "fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    failed(Exception, "fail after", "All of it.")


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
    shared.chain()
    if not responses():
        return
    first: Any = None
    id = None
    for chunk in model("witness").stream("My colour is blue."):
        first = chunk if first is None else first + chunk
        if chunk.response_metadata.get("id"):  # whichever chunk it is on
            id = chunk.response_metadata["id"]
    r.same(id, first.response_metadata["id"])
    again = model("witness").invoke("And now?", previous_response_id=id)
    r.same(again.text, shared.REMEMBERED)
    more = {"previous_response_id": again.response_metadata["id"]}
    streamed = "".join(chunk.text for chunk in model("witness").stream("Last.", **more))
    r.same(streamed, "My colour is blue. | And now? | Last. (0 pictures)")
    auto = model("witness", use_previous_response_id=True)
    history = [HumanMessage("My colour is blue."), first, HumanMessage("And now?")]
    r.same(auto.invoke(history).text, shared.REMEMBERED)


@r.scenario
def approval() -> None:
    _, first = stream("Where is my hat?", "clerk")
    (asked,) = [block for block in first.content if block.get("type") == "mcp_approval_request"]
    r.same(asked["name"], "find")
    yes = {"type": "mcp_approval_response", "approval_request_id": asked["id"], "approve": True}
    id = first.response_metadata["id"]
    answer = model("clerk").invoke([HumanMessage([yes])], previous_response_id=id)
    r.same(answer.text, "Found a hat.")


if __name__ == "__main__":
    sys.exit(r.main(version("langchain-openai")))
