"""The tools of an OpenAI Agents SDK agent in a run: copies that call the invocation first.

The SDK would stop a run for an approval and lose it with the process; the copies need no approval of the
SDK and wait for the person themselves, so that parallel tools continue. The user's own tool is called in
the end, with its own timeout and its own failure function.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, cast

from agents import CustomTool, FunctionTool, Tool
from agents.run_internal.tool_execution import function_needs_approval
from agents.tool import (
    default_tool_timeout_error_message,
    invoke_function_tool,
    resolve_function_tool_failure_error_function,
    set_function_tool_failure_error_function,
)

from tailrace.events.request import ToolSpec
from tailrace.runtimes.adapters.openai_agents.invocation import OpenAIAgentsInvocation


def tap_tools(tools: Sequence[Tool], invocation: OpenAIAgentsInvocation) -> list[Tool]:
    """The tools for the invocation's agent; with the client's tools if the agent answers the client."""
    copies = [_tap_tool(tool, invocation) for tool in tools]
    if invocation.is_main:
        copies += _client_tools(
            invocation.context.request.settings.tools, {tool.name for tool in tools}
        )
    return copies


def _tap_tool(tool: Tool, invocation: OpenAIAgentsInvocation) -> Tool:
    if isinstance(tool, FunctionTool):
        return _tap_function(tool, invocation)
    if isinstance(tool, CustomTool) and tool.on_approval is None:
        return _tap_custom(tool, invocation)
    return tool


def _tap_function(tool: FunctionTool, invocation: OpenAIAgentsInvocation) -> FunctionTool:
    async def invoke(context: Any, arguments: str) -> Any:
        async def needs_approval() -> bool:
            decision = await function_needs_approval(tool, context, context.tool_call)
            return decision.outcome != "invoke"

        return await invocation.execute(
            context.tool_call_id,
            arguments,
            needs_approval,
            partial(_call, tool, context),
            schema=tool.params_json_schema,
            has_guardrails=bool(tool.tool_output_guardrails),
        )

    tap = copy.copy(tool)
    tap.on_invoke_tool = invoke
    tap.needs_approval = False
    tap.timeout_seconds = None  # the tool's own call has it; waiting for a person has no timeout
    return tap


async def _call(tool: FunctionTool, context: Any, arguments: str) -> tuple[Any, bool]:
    """Call a tool; returns its result, and whether that reports a failure."""
    failed = False
    own = copy.copy(tool)
    context = copy.copy(context)
    context.tool_arguments = arguments
    format_failure = resolve_function_tool_failure_error_function(tool, context)
    format_timeout = tool.timeout_error_function

    async def on_failure(context: Any, error: Exception) -> Any:
        nonlocal failed
        failed = True
        text = cast("Any", format_failure)(context, error)
        return await text if inspect.isawaitable(text) else text

    async def on_timeout(context: Any, error: Exception) -> Any:
        nonlocal failed
        failed = True
        if format_timeout is None:
            return default_tool_timeout_error_message(
                tool_name=tool.name, timeout_seconds=tool.timeout_seconds or 0
            )
        text: Any = format_timeout(context, error)
        return await text if inspect.isawaitable(text) else text

    if format_failure is not None:
        set_function_tool_failure_error_function(own, on_failure)
    own.timeout_error_function = on_timeout
    result = await invoke_function_tool(function_tool=own, context=context, arguments=arguments)
    return result, failed


def _tap_custom(tool: CustomTool, invocation: OpenAIAgentsInvocation) -> CustomTool:
    async def invoke(context: Any, text: str) -> Any:
        async def needs_approval() -> bool:
            asks: Any = tool.needs_approval
            if callable(asks):
                asks = asks(context, text, context.tool_call_id)
            return bool(await asks if inspect.isawaitable(asks) else asks)

        async def work(text: str) -> tuple[Any, bool]:
            result: Any = tool.on_invoke_tool(context, text)
            return (await result if inspect.isawaitable(result) else result), False

        return await invocation.execute(context.tool_call_id, text, needs_approval, work)

    tap = copy.copy(tool)
    tap.on_invoke_tool = invoke
    tap.needs_approval = False
    return tap


def _client_tools(specs: Sequence[ToolSpec], names: Collection[str]) -> list[Tool]:
    """The client's tools whose names the agent does not use."""
    tools: list[Tool] = []
    for spec in specs:
        if spec.kind != "function" or spec.name in names:
            continue
        tool = FunctionTool(
            name=spec.name,
            description=spec.description,
            params_json_schema=cast("dict[str, Any]", spec.parameters or {"type": "object"}),
            on_invoke_tool=_nothing,
            strict_json_schema=False,  # true would rewrite the client's schema here
        )
        tool.strict_json_schema = bool(spec.strict)
        tools.append(tool)
    return tools


async def _nothing(context: Any, arguments: str) -> str:
    """A client's tool is never called here: its call ends the turn."""
    return ""
