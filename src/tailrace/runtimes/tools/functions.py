"""A typed Python function as a tool: its signature is the schema, its docstring the description.

    @tool(idempotent=True)
    async def find_order(number: int, call: ToolContext) -> dict[str, str]: ...

A parameter annotated `ToolContext` is filled in by tailrace and not shown to the model. Arguments are
validated against the signature before the function runs; faults go to the model as a readable text; the
text of an exception reaches the model only if it is a `ToolError`. Plain functions run in a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, TypeVar, get_type_hints, overload

import msgspec

from tailrace.events.items import Json
from tailrace.events.request import ToolSpec
from tailrace.runtimes.tools.contract import (
    AfterCrash,
    Progress,
    ToolContext,
    ToolResult,
    tool_failure,
)

Function = TypeVar("Function", bound=Callable[..., Any])


class _FunctionOptions(msgspec.Struct, frozen=True):
    after_crash: AfterCrash = "tell"
    approval: bool = False
    timeout: float | None = None


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    idempotent: bool = False,
    after_crash: AfterCrash = "tell",
    approval: bool = False,
    timeout: float | None = None,
) -> Callable[[Function], Function]: ...


def tool(
    function: Function | None = None,
    /,
    *,
    idempotent: bool = False,
    after_crash: AfterCrash = "tell",
    approval: bool = False,
    timeout: float | None = None,
) -> Function | Callable[[Function], Function]:
    """Set the options of a tool; without arguments, mark a function as a tool.

    `after_crash`: what is done with a call that a crash interrupted (`contract.AfterCrash`); `idempotent`
    is short for "retry". `approval`: a person must approve each call. `timeout` in seconds; an async
    function is cancelled then, a plain one is abandoned in its thread.
    """

    def mark(function: Function) -> Function:
        policy = "retry" if idempotent else after_crash
        function.__dict__["tailrace_tool"] = _FunctionOptions(policy, approval, timeout)
        return function

    return mark if function is None else mark(function)


class FunctionTool:
    """A Python function that a model can call."""

    runs_on: Literal["server", "mcp"] = "server"
    server_label = ""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        options: _FunctionOptions = function.__dict__.get("tailrace_tool", _FunctionOptions())
        self.after_crash: AfterCrash = options.after_crash
        self.approval = options.approval
        self._timeout = options.timeout
        self._context_parameter, fields = _parameters(function)
        self.name: str = function.__name__
        self._arguments = msgspec.defstruct(
            self.name, fields, forbid_unknown_fields=True, kw_only=True
        )
        self.spec = ToolSpec(
            name=self.name,
            description=inspect.getdoc(function) or "",
            parameters=_schema(self._arguments),
        )

    async def call(self, arguments: str, context: ToolContext) -> ToolResult:
        """Run the function. Every fault of the model or of the function is an error result."""
        try:
            struct = msgspec.json.decode(arguments or "{}", type=self._arguments)
        except msgspec.MsgspecError as error:
            return ToolResult(f"The arguments do not fit: {error}", is_error=True)
        values = {name: getattr(struct, name) for name in struct.__struct_fields__}
        if self._context_parameter:
            values[self._context_parameter] = _from_any_thread(context)
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                return _result(await self._run(values))
        except TimeoutError as error:
            if not limit.expired():
                return self._failure(error)
            return ToolResult(f"The tool did not answer in {self._timeout} s.", is_error=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the run is being stopped
            return ToolResult("The tool was cancelled.", is_error=True)
        except (Exception, SystemExit) as error:  # the model gets a result for any exception
            return self._failure(error)

    def _failure(self, error: BaseException) -> ToolResult:
        return ToolResult(tool_failure(error, self.name), is_error=True).cut()

    async def _run(self, values: dict[str, Any]) -> object:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**values)
        value = await _in_thread(self._function, values)
        return await value if inspect.isawaitable(value) else value


async def _in_thread(function: Callable[..., Any], values: dict[str, Any]) -> object:
    """Run a plain function in a thread of its own: one that hangs does not occupy a pool."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: object, error: BaseException | None) -> None:
        if future.done():
            return  # the call was cancelled
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def work() -> None:
        value, error = None, None
        try:
            value = context.run(function, **values)
        except BaseException as exception:  # passed to the caller, whatever it is
            # These three have another meaning for the waiting task: to stop, or to end the process.
            has_other_meaning = isinstance(
                exception, StopIteration | SystemExit | KeyboardInterrupt
            )
            error = (
                RuntimeError(f"it raised {type(exception).__name__}")
                if has_other_meaning
                else exception
            )
        with suppress(RuntimeError):  # the loop has ended with the process
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name=f"tool {function.__name__}", daemon=True).start()
    return await future


def _from_any_thread(context: ToolContext) -> ToolContext:
    """The context for a function that may run in a thread of its own. The thread waits until each report is
    taken; otherwise reports would accumulate."""
    loop = asyncio.get_running_loop()
    here = threading.get_ident()

    def progress(report: Progress) -> None:
        if threading.get_ident() == here:
            return context.progress(report)
        done_event = threading.Event()

        def take() -> None:
            try:
                context.progress(report)
            finally:
                done_event.set()

        loop.call_soon_threadsafe(take)
        done_event.wait()
        return None

    return msgspec.structs.replace(context, progress=progress)


def _parameters(function: Callable[..., Any]) -> tuple[str, list[Any]]:
    """The name of the `ToolContext` parameter (or `""`) and the other parameters as struct fields."""
    inner = inspect.unwrap(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise TypeError(f"tool {function.__name__}: it yields; a tool returns its answer")
    hints = get_type_hints(function, include_extras=True)
    context, fields = "", list[Any]()
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints.get(name, Any)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"tool {function.__name__}: {name} cannot be passed by name")
        if kind is ToolContext:
            context = name
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"tool {function.__name__}: *{name} cannot be described to a model")
        elif parameter.default is parameter.empty:
            fields.append((name, kind))
        else:
            fields.append((name, kind, parameter.default))
    return context, fields


def _schema(arguments: type[msgspec.Struct]) -> Json:
    """The parameters as one self-contained JSON schema object, without the struct's own name."""
    (reference,), definitions = msgspec.json.schema_components([arguments])
    name = str(reference["$ref"]).rsplit("/", 1)[-1]
    schema = dict(definitions.pop(name))
    schema.pop("title", None)
    if definitions:
        schema["$defs"] = definitions
    return schema


def _result(value: object) -> ToolResult:
    """The function's return value as text: strings as they are, all else as JSON."""
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except (TypeError, msgspec.MsgspecError) as error:
        return ToolResult(f"The tool's answer is not JSON: {error}", is_error=True)
    return ToolResult(text).cut()
