"""Pydantic AI as a client; the argument says over which surface: chat, responses or messages."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import anthropic
import openai
from pydantic_ai import Agent, BinaryContent, ModelHTTPError, NativeOutput, UnexpectedModelBehavior
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import ModelRequest, NativeToolCallPart, ThinkingPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from compat.python import reporting as r
from compat.python.broken import Broken

FAILURES = (ModelHTTPError, ModelAPIError, UnexpectedModelBehavior, anthropic.APIError)


@dataclass
class Answer:
    """What the structured scenario asks for."""

    city: str
    degrees: int


def model(name: str = "helper", mount: str = "/v1", *, at: str = "", retries: int = 0) -> Model:
    base = (at or r.base_url()) + mount
    if r.argument() == "messages":
        base = base.removesuffix("/v1")
        client = anthropic.AsyncAnthropic(base_url=base, api_key="unused", max_retries=retries)
        able: Any = {"supports_json_schema_output": True}  # it knows Anthropic's models by name
        made_there = AnthropicProvider(anthropic_client=client)
        return AnthropicModel(name, provider=made_there, profile=able)
    made = openai.AsyncOpenAI(base_url=base, api_key="unused", max_retries=retries)
    provider = OpenAIProvider(openai_client=made)
    if r.argument() == "chat":
        return OpenAIChatModel(name, provider=provider)
    return OpenAIResponsesModel(name, provider=provider)


def agent(name: str = "helper", **more: Any) -> Any:
    return Agent(model(name), **more)


async def stream(made: Any, asked: Any, **more: Any) -> tuple[str, Any]:
    """The text as it streamed, and the finished run."""
    async with made.run_stream(asked, **more) as running:
        pieces = [piece async for piece in running.stream_text(delta=True, debounce_by=None)]
        return "".join(pieces), running


@r.async_scenario
async def text() -> None:
    got, running = await stream(agent("echo"), "One two three")
    r.same((got, running.usage.output_tokens), ("One two three", 3))
    r.same((await agent("echo").run("One two three")).output, got)


@r.async_scenario
async def reasoning() -> None:
    done = await agent().run("think")
    got, running = await stream(agent(), "think")
    r.same((done.output, got), ("It is 4.",) * 2)
    for messages in (done.all_messages(), running.all_messages()):
        thoughts = [part for part in messages[-1].parts if isinstance(part, ThinkingPart)]
        r.same([part.content for part in thoughts], ["Adding up. "])


@r.async_scenario
async def client_tools() -> None:
    asked: list[str] = []
    made = agent()

    def get_weather(city: str) -> str:
        """Weather."""
        asked.append(city)
        return "fine"

    made.tool_plain(get_weather)
    r.same((await made.run("both cities")).output, "Snow and sun.")
    r.same(sorted(asked), ["Oslo", "Rome"])
    r.same((await stream(made, "both cities"))[0], "Snow and sun.")
    r.same(len(asked), 4)


async def _ran_there(asked: str, wanted: str) -> None:
    done = await agent().run(asked)
    got, running = await stream(agent(), asked)
    r.same(" ".join(got.split()), wanted)
    assert wanted.endswith(done.output.strip()) or r.argument() == "chat", done.output
    if r.argument() == "chat":
        return
    for messages in (done.all_messages(), running.all_messages()):
        calls = [part for part in messages[-1].parts if isinstance(part, NativeToolCallPart)]
        r.same(len(calls), 1)


@r.async_scenario
async def server_tool() -> None:
    await _ran_there("Where is my hat?", "Let me look. Found a hat.")


@r.async_scenario
async def mcp_tool() -> None:
    await _ran_there("Read my notes", "Milk, it says.")


@r.async_scenario
async def subagents() -> None:
    got, _ = await stream(agent(), "let two look")
    r.same(" ".join(got.split()), "I let two look. Both are back.")


@r.async_scenario
async def refusal() -> None:
    """Whatever form this client gives it: text or an error that quotes it."""
    try:
        done = await agent().run("refuse")
    except Exception as error:
        assert "No, thank you." in f"{error} {error.__dict__}", error
    else:
        assert "No, thank you." in repr(done.all_messages()), done


async def _failed(asked: str, wanted: str) -> None:
    seen: list[str] = []
    try:
        async with agent().run_stream(asked) as running:
            async for piece in running.stream_text(delta=True, debounce_by=None):
                seen.append(piece)  # noqa: PERF401 - what came before the error is kept
    except FAILURES as error:
        assert "The model" in str(error), error
    else:
        raise AssertionError(f"the failure was swallowed after {seen}")
    r.same("".join(seen).strip(), wanted)
    try:
        await agent().run(asked)
    except FAILURES as error:
        assert "The model" in str(error), error
    else:
        raise AssertionError("the failure was swallowed")


@r.async_scenario
async def failure_before() -> None:
    await _failed("fail before", "")
    try:
        await agent("nobody").run("x")
    except ModelHTTPError as error:
        r.same(error.status_code, 404)
    else:
        raise AssertionError("no 404")


@r.async_scenario
async def failure_during() -> None:
    await _failed("fail during", "Half of it")


@r.async_scenario
async def failure_after() -> None:
    await _failed("fail after", "All of it.")


@r.async_scenario
async def incomplete() -> None:
    done = await agent().run("too long")
    r.same((done.output, done.all_messages()[-1].finish_reason), ("And so on", "length"))


@r.async_scenario
async def cancel() -> None:
    words = f"pydantic {r.argument()} {r.SLOW}"
    settings = {"openai_background": True} if r.argument() == "responses" else {}
    async with agent("slow", model_settings=settings).run_stream(words) as running:
        async for _ in running.stream_text(delta=True, debounce_by=None):
            break
        await running.cancel()
    r.until_cancelled(r.run_of(words))


@r.async_scenario
async def resume() -> None:
    """A background run whose stream is left in the middle, and gone on with from where it was."""
    words = "one two three four five six seven eight nine"
    asked = ModelRequest.user_text_prompt(words)
    settings: Any = {"openai_background": True}
    async with model("slow").request_stream([asked], settings, ModelRequestParameters()) as running:
        seen = 0
        async for _ in running:
            seen += 1
            if seen == 4:
                break
        left = running.get()
    r.same(left.state, "suspended")
    assert 0 < len(left.text or "") < len(words), left.text
    made = Agent(model("slow"), model_settings=settings)
    async with made.run_stream(message_history=[asked, left]) as again:
        r.same(await again.get_output(), words)
    r.same((await made.run(message_history=[asked, left])).output, words)


@r.async_scenario
async def chain() -> None:
    wanted = "My colour is blue. | And now? (0 pictures)"
    first = await agent("witness").run("My colour is blue.")
    history = first.all_messages()
    r.same((await agent("witness").run("And now?", message_history=history)).output, wanted)
    if r.argument() == "responses":
        made = agent("witness", model_settings={"openai_previous_response_id": "auto"})
        r.same((await made.run("And now?", message_history=history)).output, wanted)


@r.async_scenario
async def structured() -> None:
    done = await agent(output_type=NativeOutput(Answer)).run("as json")
    r.same(done.output, Answer(**r.ANSWER))


@r.async_scenario
async def image() -> None:
    picture = BinaryContent(base64.b64decode(r.PICTURE), media_type="image/png")
    done = await agent("witness").run(["What is this?", picture])
    r.same(done.output, "What is this? (1 pictures)")


@r.async_scenario
async def unicode() -> None:
    r.same((await stream(agent("echo"), r.UNICODE))[0], r.UNICODE)
    r.same((await agent("echo").run(r.UNICODE)).output, r.UNICODE)


@r.async_scenario
async def long() -> None:
    r.same((await stream(agent("echo"), r.LONG))[0], r.LONG)


@r.async_scenario
async def retry() -> None:
    broken = Broken()
    done = await Agent(model("echo", at=broken.base_url, retries=1)).run(broken.words)
    r.same(done.output, broken.words)
    broken.check()


if __name__ == "__main__":
    sys.exit(r.main(version("pydantic-ai-slim")))
