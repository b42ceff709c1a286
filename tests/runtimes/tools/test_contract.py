"""The model gets the type of a tool's exception, or the text of a `ToolError`; the log has both."""

from __future__ import annotations

import logging

import pytest

from tailrace import ToolError
from tailrace.runtimes.tools.contract import MAX_OUTPUT, ToolContext, tool_failure
from tailrace.runtimes.tools.functions import FunctionTool


class NoSuchOrder(ToolError):
    """An exception of a tool's author."""


def test_only_a_tool_error_reaches_the_model_with_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert tool_failure(NoSuchOrder("There is no order 7."), "find") == "There is no order 7."
        assert not caplog.records
        assert tool_failure(KeyError("sk-secret"), "find") == "The tool failed (KeyError)."
    assert "sk-secret" in caplog.text
    assert "find" in caplog.text
    assert len(tool_failure(ToolError("x" * 999_999), "find")) == MAX_OUTPUT


@pytest.mark.parametrize("plain", [True, False])
async def test_a_function_can_report_the_reason_of_its_failure(*, plain: bool) -> None:
    def find() -> str:
        raise NoSuchOrder("There is no order 7.")

    async def look() -> str:
        raise NoSuchOrder("There is no order 7.")

    made = await FunctionTool(find if plain else look).call("{}", ToolContext("r", "c", "k"))
    assert (made.output, made.is_error) == ("There is no order 7.", True)
