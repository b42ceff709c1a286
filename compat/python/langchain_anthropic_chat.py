"""LangChain's ChatAnthropic over Messages."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage

from compat.python import reporting as r
from compat.python.langchain_shared import failed, stream, use


@use
def model(
    name: str = "helper", *, mount: str = "", at: str = "", retries: int = 0, **more: Any
) -> Any:
    made: dict[str, Any] = {"max_retries": retries, "max_tokens": 9000, "api_key": "unused", **more}
    made |= {"model": name, "base_url": (at or r.base_url()) + mount}
    return ChatAnthropic(**made)


@r.scenario
def text() -> None:
    got, whole = stream("One two three", "echo")
    r.same((got, whole.usage_metadata["output_tokens"]), ("One two three", 3))
    r.same(whole.response_metadata["stop_reason"], "end_turn")
    r.same(model("echo").invoke("One two three").text, got)


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


@r.scenario
def failure_during() -> None:
    failed(anthropic.APIStatusError, "fail during", "Half of it")


@r.scenario
def failure_after() -> None:
    failed(anthropic.APIStatusError, "fail after", "All of it.")


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


if __name__ == "__main__":
    sys.exit(r.main(version("langchain-anthropic")))
