"""Values that an application makes for a run: once, of any kind, released at the end; and their failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tailrace.errors import ModelFailed
from tailrace.runtimes.adapters import run_values
from tailrace.runtimes.adapters.run_values import RunValues
from tests.support.logs import request

REQUEST = request()
LEFT: list[str] = []


def plain(_: Any) -> str:
    return "value"


async def later(_: Any) -> str:
    return "value"


@asynccontextmanager
async def managed(_: Any) -> AsyncGenerator[str, None]:
    """With a cancel scope, which must be left by the task that entered it."""
    async with anyio.create_task_group():
        yield "value"
    LEFT.append("left")


@pytest.mark.parametrize("make", [plain, later, managed])
async def test_a_value_is_made_once_and_released(make: Callable[..., Any]) -> None:
    LEFT.clear()
    calls: list[Any] = []

    def counted(request: Any) -> Any:
        calls.append(request)
        return make(request)

    values = RunValues("deps", counted)
    first, again = [await values.get("run", REQUEST) for _ in range(2)]
    assert (first, again, calls) == ("value", "value", [REQUEST])
    assert await values.get("other", REQUEST) == "value"
    await asyncio.create_task(values.release("run"))
    assert (["left"] if make is managed else []) == LEFT
    await values.release("run")
    await values.get("run", REQUEST)
    assert len(calls) == 3
    await values.release("run")
    await values.release("other")


async def test_no_maker_makes_nothing() -> None:
    values = RunValues("deps", None)
    assert not values
    assert await values.get("run", REQUEST) is None


def raises(_: Any) -> Any:
    raise ValueError("a secret")


async def raises_later(_: Any) -> Any:
    raise ValueError("a secret")


@asynccontextmanager
async def raises_inside(_: Any) -> AsyncGenerator[str, None]:
    raise ValueError("a secret")
    yield "value"


async def hangs(_: Any) -> Any:
    await asyncio.Event().wait()


@asynccontextmanager
async def hangs_inside(_: Any) -> AsyncGenerator[str, None]:
    await asyncio.Event().wait()
    yield "value"


@pytest.mark.parametrize("make", [raises, raises_later, raises_inside])
async def test_an_exception_of_a_maker_fails_the_run_without_its_text(make: Any) -> None:
    with pytest.raises(ModelFailed, match=r"^deps raised ValueError\.$"):
        await RunValues("deps", make).get("run", REQUEST)


@pytest.mark.parametrize("make", [hangs, hangs_inside])
async def test_a_maker_that_hangs_fails_the_run(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_values, "SECONDS", 0.01)
    with pytest.raises(ModelFailed, match=r"^deps was not ready in 0\.01 s\.$"):
        await RunValues("deps", make).get("run", REQUEST)


@asynccontextmanager
async def raises_at_the_end(_: Any) -> AsyncGenerator[str, None]:
    yield "value"
    raise ValueError("broken")


async def test_an_exception_at_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    values = RunValues("deps", raises_at_the_end)
    await values.get("run", REQUEST)
    await values.release("run")
    assert "run run: deps raised at its end" in caplog.text
