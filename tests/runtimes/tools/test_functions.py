"""Python functions as tools: the schema from the signature, and every fault an answer."""

from __future__ import annotations

import asyncio
import threading
from typing import Literal

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
    """Says its key."""
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
        (raises, "{}", "ValueError: no such order", True),
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
