"""The interface of a runtime: it works on a run and emits events.

A runtime reads the run's state and emits drafts; the writer (`runs/writer.py`) numbers, checks and stores
them and folds them into the state that the runtime reads. A runtime does not write: numbers, times, the
grammar and the end of the run are not its task. The reason why it emits instead of yielding: docs/adr/0006.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from tailrace.errors import ModelFailed
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import AgentEntry, Draft


class Sink(Protocol):
    """The receiver of drafts."""

    state: RunState

    @property
    def full(self) -> bool:
        """Whether the agent should wait for `room`."""
        ...

    def add(self, drafts: Sequence[Draft]) -> None:
        """Add drafts and fold them. Raises `IllegalEvent` at the first illegal one."""
        ...

    def now(self) -> int:
        """Milliseconds since the epoch, as in events."""
        ...

    async def room(self) -> None:
        """Wait while the log is behind."""
        ...

    async def flush(self) -> None:
        """Wait until all added drafts are durable."""
        ...


class RunContext:
    """A run, for its runtime.

    `state` has more than `run.started` if an earlier attempt was interrupted or the run was paused: the
    runtime continues from there. The number of a new item is `len(state.items)` when it is emitted.
    """

    def __init__(self, run: str, sink: Sink) -> None:
        self.run = run
        self.state = sink.state
        self.request: RunRequest = self.state.start_request()
        self.emit: Callable[[Sequence[Draft]], None] = sink.add
        self.flush: Callable[[], Awaitable[None]] = sink.flush
        self._sink = sink
        self.answer_count = 0
        self._listening: set[asyncio.Future[None]] = set()

    def working_seconds(self, node: str) -> float:
        """Seconds since a node began, over all attempts; without the time that the run has waited."""
        state = self.state
        return (state.working(self._sink.now()) - state.started_calls.get(node, 0)) / 1000

    @property
    def full(self) -> bool:
        """Whether the log is behind."""
        return self._sink.full

    async def room(self) -> None:
        """Let the log catch up; to be called by code that emits much."""
        if self._sink.full:
            await self._sink.room()

    async def news(self, count: int) -> None:
        """Wait until the state has more than `count` answers of people and clients."""
        while self.answer_count <= count:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listening.add(future)
            try:
                await future
            finally:
                self._listening.discard(future)

    def tell(self) -> None:
        """An answer has arrived: wake all callers of `news`."""
        self.answer_count += 1
        for future in self._listening:
            if not future.done():
                future.set_result(None)


@runtime_checkable
class Runtime(Protocol):
    """The code of an agent or model. `resumes`: whether it can continue after a crash."""

    resumes: bool

    def registry(self) -> Sequence[AgentEntry]:
        """The agents known before a run begins, the main one first."""
        ...

    async def run(self, context: RunContext) -> None:
        """Work on the run, and emit drafts as events occur.

        Returning while the state is `asking` pauses the run until the answer arrives; `run` is then called
        again, maybe in another process. Otherwise returning completes the run, unless the end of the run
        was emitted. `ModelFailed` and any other exception fail it, `LimitReached` ends it as incomplete.
        Cancellation arrives as `CancelledError` at the point of the wait.
        """
        ...


@runtime_checkable
class Checks(Protocol):
    """A runtime, or a node of one, that checks requests and refuses those that it cannot fulfil."""

    def objection(self, request: RunRequest) -> str:
        """The reason for the refusal, or `""`."""
        ...


Feature = Literal[
    "json_schema", "json_object", "tool_choice", "stop", "logprobs", "seed", "custom_tools"
]
"""Something that a client may ask of an agent and that some agents cannot do."""


@runtime_checkable
class Lacks(Protocol):
    """A runtime that cannot do some of what a client may ask for: such a request is refused, not ignored."""

    lacks: frozenset[Feature]


def lacking(runtime: Runtime, request: RunRequest) -> Feature | None:
    """The first thing in a request that the agent cannot do."""
    if not isinstance(runtime, Lacks):
        return None
    settings = request.settings
    requests: dict[Feature, bool] = {
        "json_schema": settings.output.kind == "json_schema",
        "json_object": settings.output.kind == "json_object",
        "tool_choice": settings.tool_choice.mode == "required" or bool(settings.tool_choice.names),
        "stop": bool(settings.stop),
        "logprobs": settings.logprobs or bool(settings.top_logprobs),
        "seed": settings.seed is not None,
        "custom_tools": any(tool.kind == "custom" for tool in settings.tools),
    }
    return next((name for name in requests if requests[name] and name in runtime.lacks), None)


@runtime_checkable
class Forwards(Protocol):
    """A runtime, or a node of one, that passes a client's request to a model server."""

    def refusal(self, request: RunRequest) -> ModelFailed | None:
        """The reason why the model server cannot get the request, if it is known before the run; None
        otherwise."""
        ...


def objection(runtime: Runtime, request: RunRequest) -> str:
    """As `Checks.objection`, of any runtime."""
    return runtime.objection(request) if isinstance(runtime, Checks) else ""


def refusal(runtime: Runtime, request: RunRequest) -> ModelFailed | None:
    """As `Forwards.refusal`, of any runtime."""
    return runtime.refusal(request) if isinstance(runtime, Forwards) else None


@runtime_checkable
class Repeats(Protocol):
    """A runtime, or a node of one, whose agents hold their next reply back while it repeats the interrupted
    one (`repeating.py`). For any other the interrupted replies are abandoned before it continues."""

    repeats: bool


CHECKPOINTS = "kept"
"""The bucket for data of runtimes besides the log, under keys `<run>/…`; it is deleted when the run ends."""


STATES = "states"
"""The bucket for the state that a run leaves to the next turn of its conversation, under keys `<run>/…`; it
is deleted with the log of the run."""


class CheckpointRecord(Protocol):
    """A stored value."""

    @property
    def key(self) -> str: ...

    @property
    def value(self) -> bytes: ...


class CheckpointRecords(Protocol):
    """The part of a store's records (`log/contract.py`) that a runtime may use."""

    def get(self, bucket: str, key: str, /) -> Awaitable[CheckpointRecord | None]: ...

    def put(self, bucket: str, key: str, value: bytes, /) -> Awaitable[object]: ...

    def delete(self, bucket: str, key: str, /) -> Awaitable[None]: ...

    async def scan(self, bucket: str, *, after: str = "") -> Sequence[CheckpointRecord]: ...


class RuntimeCheckpoints(Protocol):
    """A store, which may open only after the runtime was made."""

    @property
    def records(self) -> CheckpointRecords: ...


@runtime_checkable
class ReleasesRuns(Protocol):
    """A runtime that holds something for a run over its pauses; `release` is called when the run has ended,
    in the process that recorded the end."""

    async def release(self, run: str) -> None: ...


@runtime_checkable
class KeepsCheckpoints(Protocol):
    """A runtime that stores something besides the log; `keep_in` is called once, before its first run."""

    def keep_in(self, store: RuntimeCheckpoints) -> None: ...
