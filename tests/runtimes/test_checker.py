"""Checks in a process of their own: the process is bounded in time and memory, and replaced when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

from tailrace.errors import ModelFailed
from tailrace.runtimes import checker
from tailrace.runtimes.checker import Checker
from tests.support.schemas import doubling


@pytest.fixture
def made() -> Generator[Checker, None, None]:
    one = Checker()
    yield one
    one.close()


async def test_what_takes_long_is_checked_elsewhere(made: Checker) -> None:
    """The check takes some 100 ms, and none of the event loop's time."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    wrong = await made.misfits(['"x"', "1", "{"], doubling(12))
    turning.cancel()
    assert wrong[0] == ""
    assert wrong[1] == "1 is not of type 'string' at $"
    assert "truncated" in wrong[2]
    assert turns > 100


async def test_what_takes_too_long_is_ended(made: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "SECONDS", 0.5)
    with pytest.raises(ModelFailed, match=r"takes more than 0.5 s to check"):
        await made.misfits(['"x"'], doubling(40))
    assert await made.misfits(['"x"'], doubling(2)) == [""]


async def test_memory_is_bounded(made: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three million lists, of 56 bytes and more each."""
    monkeypatch.setattr(checker, "MEMORY", 160 << 20)
    text = "[" + "[],[],[],[],[],[],[],[],[],[]," * 300_000 + "1]"
    with pytest.raises(ModelFailed, match="too much memory"):
        await made.misfits([text], {"type": "string"})
    assert await made.misfits(["1"], {"type": "integer"}) == [""]


async def test_it_may_die(made: Checker) -> None:
    assert await made.misfits(["1"], {"type": "integer"}) == [""]
    assert made.process is not None
    os.kill(made.process, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, made.process, os.WEXITED | os.WNOWAIT)
    assert await made.misfits(["1"], {"type": "integer"}) == [""]


async def test_many_at_once_take_turns(made: Checker) -> None:
    asked = (made.misfits(["1"], {"type": "integer"}) for _ in range(checker.WAITING))
    assert await asyncio.gather(*asked) == [[""]] * checker.WAITING


async def test_too_many_are_refused(made: Checker) -> None:
    asked = [made.misfits(["1"], {}) for _ in range(checker.WAITING + 5)]
    said: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, ModelFailed) for each in said) == 5


async def test_an_invalid_schema_is_reported(made: Checker) -> None:
    with pytest.raises(ModelFailed, match="cannot be checked: /type must be"):
        await made.misfits(["1"], {"type": 7})


async def test_it_knows_no_secrets(made: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", "s3cret-of-this-test")
    await made.misfits(["1"], {})
    with open(f"/proc/{made.process}/environ", "rb") as environment:  # noqa: ASYNC230
        assert b"s3cret" not in environment.read()
