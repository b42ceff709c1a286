"""The OpenAI Agents SDK as a client; the argument says over which surface: chat or responses."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import openai
from agents import (
    Agent,
    HostedMCPTool,
    Model,
    ModelBehaviorError,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel

from compat.python import reporting as r
from compat.python.broken import Broken

set_tracing_disabled(disabled=True)
RUNNER: Any = Runner  # its inputs and items are unions of fifty types


class Answer(BaseModel):
    """What the structured scenario asks for."""

    city: str
    degrees: int


def agent(name: str = "helper", mount: str = "/v1", *, at: str = "", **more: Any) -> Any:
    base = (at or r.base_url()) + mount
    client = openai.AsyncOpenAI(base_url=base, api_key="unused", max_retries=1 if at else 0)
    kinds = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}
    model: Model = kinds[r.argument()](model=name, openai_client=client)
    settings = ModelSettings(include_usage=True)
    return Agent(name="client", model=model, model_settings=settings, **more)


def words(events: list[Any]) -> str:
    """The text of raw events, which are Responses' own on either surface."""
    raw = [event.data for event in events if event.type == "raw_response_event"]
    return "".join(data.delta for data in raw if data.type == "response.output_text.delta")


async def stream(made: Any, asked: Any, **more: Any) -> tuple[str, Any]:
    """The text as it streamed, and the finished run."""
    running = RUNNER.run_streamed(made, asked, **more)
    events = [event async for event in running.stream_events()]
    return words(events), running


@r.async_scenario
async def text() -> None:
    got, running = await stream(agent("echo"), "One two three")
    r.same((got, running.final_output), ("One two three",) * 2)
    r.same(running.context_wrapper.usage.output_tokens, 3)
    r.same((await RUNNER.run(agent("echo"), "One two three")).final_output, got)


@r.async_scenario
async def reasoning() -> None:
    for done in (await RUNNER.run(agent(), "think"), (await stream(agent(), "think"))[1]):
        r.same(done.final_output, "It is 4.")
        items = [item.raw_item for item in done.new_items if item.type == "reasoning_item"]
        r.same([item.summary[0].text for item in items], ["Adding up. "])


@r.async_scenario
async def client_tools() -> None:
    asked: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Weather."""
        asked.append(city)
        return "fine"

    made = agent(tools=[get_weather])
    r.same((await RUNNER.run(made, "both cities")).final_output, "Snow and sun.")
    r.same(sorted(asked), ["Oslo", "Rome"])
    r.same((await stream(made, "both cities"))[1].final_output, "Snow and sun.")
    r.same(len(asked), 4)


async def _ran_there(asked: str, wanted: str) -> None:
    got, running = await stream(agent(), asked)
    r.same(" ".join(got.split()), wanted)
    done = await RUNNER.run(agent(), asked)
    for each in (running, done):
        assert wanted.endswith(" ".join(each.final_output.split())), each.final_output
        output = each.raw_responses[-1].output
        r.same(len(each.raw_responses), 1)
        calls = [item for item in output if item.type == "mcp_call"]
        r.same(len(calls), 1 if r.argument() == "responses" else 0)


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
    got, _ = await stream(agent("any", "/agent/7"), "let two look")
    r.same((got.count("Nothing"), got.count("there.")), (2, 2))


@r.async_scenario
async def refusal() -> None:
    """This client raises it, or keeps it in its items."""
    try:
        done = await RUNNER.run(agent(), "refuse")
    except Exception as error:
        assert "No, thank you." in str(error), error
    else:
        assert "No, thank you." in repr(done.raw_responses), done.raw_responses


async def _failed(asked: str, wanted: str) -> None:
    events: list[Any] = []
    error: BaseException | None = None
    try:
        async for event in RUNNER.run_streamed(agent(), asked).stream_events():
            events.append(event)  # noqa: PERF401 - what came before the error is kept
    except Exception as raised:
        error = raised
    assert error is not None, "the failure was swallowed"
    assert "The model" in str(error) or "failed" in str(error), error
    r.same(words(events).strip(), wanted)
    error = None
    try:
        await RUNNER.run(agent(), asked)
    except Exception as raised:
        error = raised
    assert error is not None, "the failure was swallowed"


@r.async_scenario
async def failure_before() -> None:
    await _failed("fail before", "")
    try:
        await RUNNER.run(agent("nobody"), "x")
    except openai.NotFoundError:
        return
    raise AssertionError("no 404")


@r.async_scenario
async def failure_during() -> None:
    await _failed("fail during", "Half of it")


@r.async_scenario
async def failure_after() -> None:
    await _failed("fail after", "All of it.")


@r.async_scenario
async def incomplete() -> None:
    """This client raises it, with the reason."""
    for run in (RUNNER.run(agent(), "too long"), stream(agent(), "too long")):
        try:
            await run
        except ModelBehaviorError as error:
            assert "max_output_tokens" in str(error), error
        else:
            raise AssertionError("it was not told")


@r.async_scenario
async def cancel() -> None:
    asked = f"agents sdk {r.argument()} {r.SLOW}"
    running = RUNNER.run_streamed(agent("slow"), asked)
    async for event in running.stream_events():
        if words([event]):
            running.cancel(mode="immediate")
    r.until_cancelled(r.run_of(asked))


@r.async_scenario
async def chain() -> None:
    wanted = "My colour is blue. | And now? (0 pictures)"
    first = await RUNNER.run(agent("witness"), "My colour is blue.")
    told = [*first.to_input_list(), {"role": "user", "content": "And now?"}]
    r.same((await RUNNER.run(agent("witness"), told)).final_output, wanted)
    if r.argument() == "responses":
        more = {"previous_response_id": first.last_response_id}
        r.same((await stream(agent("witness"), "And now?", **more))[0], wanted)


@r.async_scenario
async def structured() -> None:
    done = await RUNNER.run(agent(output_type=Answer), "as json")
    r.same(done.final_output, Answer(**r.ANSWER))
    got, running = await stream(agent(output_type=Answer), "as json")
    r.same((json.loads(got), running.final_output), (r.ANSWER, Answer(**r.ANSWER)))


@r.async_scenario
async def image() -> None:
    url = f"data:image/png;base64,{r.PICTURE}"
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    done = await RUNNER.run(agent("witness"), [{"role": "user", "content": content}])
    r.same(done.final_output, "What is this? (1 pictures)")


@r.async_scenario
async def unicode() -> None:
    got, running = await stream(agent("echo"), r.UNICODE)
    r.same((got, running.final_output), (r.UNICODE,) * 2)


@r.async_scenario
async def long() -> None:
    r.same((await stream(agent("echo"), r.LONG))[0], r.LONG)


@r.async_scenario
async def approval() -> None:
    """The SDK has approvals for hosted MCP servers; the tools of the server's agent are one to it."""
    config: Any = {
        "type": "mcp",
        "server_label": "clerk",
        "server_url": "http://127.0.0.1/",
        "require_approval": "always",
    }
    tools = [HostedMCPTool(tool_config=config)]
    made = agent("clerk", tools=tools)
    waiting = await RUNNER.run(made, "Where is my hat?")
    (asked,) = waiting.interruptions
    r.same(asked.raw_item.name, "find")
    state = waiting.to_state()
    state.approve(asked)
    r.same((await RUNNER.run(made, state)).final_output, "Found a hat.")


@r.async_scenario
async def retry() -> None:
    broken = Broken()
    done = await RUNNER.run(agent("echo", at=broken.base_url), broken.words)
    r.same(done.final_output, broken.words)
    broken.check()


if __name__ == "__main__":
    sys.exit(r.main(version("openai-agents")))
