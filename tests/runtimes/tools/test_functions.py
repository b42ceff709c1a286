"""Python functions as tools: the schema follows from the signature, and every fault is an answer."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest

from tailrace.runtimes.tools.contract import MAX_OUTPUT, ToolContext
from tailrace.runtimes.tools.functions import FunctionTool, tool

CONTEXT = ToolContext("run", "call_1", "run:1")


def order(
    number: int, size: Literal["s", "m"] = "m", tags: list[str] | None = None
) -> dict[str, object]:
    """Order a thing."""
    return {"number": number, "size": size, "tags": tags}


async def keyed(call: ToolContext) -> str:
    """Return its key."""
    return call.key


def raises() -> str:
    raise ValueError("no such order")


def shows_an_object() -> object:
    return object()


def talks_much() -> str:
    return "x" * (MAX_OUTPUT + 5)


@tool(timeout=0.01)
async def hangs() -> str:
    await asyncio.Event().wait()
    return ""


def test_the_schema_is_the_signature() -> None:
    spec = FunctionTool(order).spec
    assert (spec.name, spec.description) == ("order", "Order a thing.")
    assert spec.parameters["type"] == "object"
    assert list(spec.parameters["properties"]) == ["number", "size", "tags"]
    assert spec.parameters["properties"]["size"]["enum"] == ["m", "s"]
    assert spec.parameters["required"] == ["number"]
    assert FunctionTool(keyed).spec.parameters["properties"] == {}


@pytest.mark.parametrize(
    ("function", "arguments", "output", "is_error"),
    [
        (order, '{"number": 3}', '{"number":3,"size":"m","tags":null}', False),
        (order, '{"number": "3"}', "The arguments do not fit: Expected `int`, got `str`", True),
        (
            order,
            '{"number": 3, "more": 1}',
            "The arguments do not fit: Object contains unknown",
            True,
        ),
        (order, '{"number": 3', "The arguments do not fit: Input data was truncated", True),
        (order, "[]", "The arguments do not fit: Expected `object`", True),
        (keyed, "", "run:1", False),
        (raises, "{}", "The tool failed (ValueError).", True),
        (shows_an_object, "{}", "The tool's answer is not JSON", True),
        (talks_much, "{}", "x" * 100, False),
        (hangs, "{}", "The tool did not answer in 0.01 s.", True),
    ],
)
async def test_what_a_call_answers(
    function: object, arguments: str, output: str, is_error: bool
) -> None:
    result = await FunctionTool(function).call(arguments, CONTEXT)  # type: ignore[arg-type]
    assert result.output.startswith(output)
    assert result.is_error == is_error
    assert len(result.output) < MAX_OUTPUT + 100


def test_what_cannot_be_described_is_refused() -> None:
    def variable(*numbers: int) -> int:
        return sum(numbers)

    with pytest.raises(TypeError, match="numbers"):
        FunctionTool(variable)


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


@functools.wraps(_generator)
def _wrapped_generator() -> Iterator[int]:
    return _generator()


def _by_place(a: int, /) -> int:
    return a


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (_generator, "yields"),
        (_async_generator, "yields"),
        (_wrapped_generator, "yields"),
        (_by_place, "a cannot be passed by name"),
    ],
)
def test_what_cannot_be_called_by_a_model_is_no_tool(function: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        FunctionTool(function)


async def test_a_wrapper_of_an_async_function_is_waited_for() -> None:
    @functools.wraps(keyed)
    def wrapped(call: ToolContext) -> Any:
        return keyed(call)

    assert (await FunctionTool(wrapped).call("{}", CONTEXT)).output == "run:1"


@pytest.mark.parametrize("seconds", [None, 60])
async def test_a_tools_own_timeout_is_its_own(seconds: float | None) -> None:
    @tool(timeout=seconds)
    async def asks_elsewhere() -> None:
        raise TimeoutError("the shop is slow")

    made = await FunctionTool(asks_elsewhere).call("", CONTEXT)
    assert made.output == "The tool failed (TimeoutError)."


async def test_plain_functions_that_hang_take_nobodys_place() -> None:
    release = threading.Event()

    @tool(timeout=0.01)
    def stuck() -> None:
        release.wait(20)

    def quick() -> str:
        return "here"

    try:
        waits = [FunctionTool(stuck).call("{}", CONTEXT) for _ in range(64)]
        assert all(made.is_error for made in await asyncio.gather(*waits))
        async with asyncio.timeout(5):
            assert (await FunctionTool(quick).call("{}", CONTEXT)).output == "here"
    finally:
        release.set()


def test_the_bare_decorator_will_do() -> None:
    @tool
    def plain() -> str:
        return "x"

    made = FunctionTool(plain)
    assert (made.after_crash, made.approval) == ("tell", False)
