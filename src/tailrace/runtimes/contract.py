"""What a runtime is: something that works on a run and yields what happens.

A runtime reads the run's state and yields drafts; the writer (`runs/writer.py`) numbers, checks and
stores them, and folds them into the very state the runtime reads. A draft is in the state as soon as
the iterator is asked for the next batch, and durable after `RunContext.flush`.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Draft


class RunContext:
    """A run as its runtime sees it: the request, the state so far, and fresh item ordinals.

    `state` holds more than `run.started` when an earlier attempt was cut off: go on from there.
    `flush` waits until all that was yielded is durable: do so before anything with an outside effect.
    """

    def __init__(self, run: str, state: RunState, flush: Callable[[], Awaitable[None]]) -> None:
        self.run = run
        self.state = state
        self.flush = flush
        self.request: RunRequest = state.started()
        self.items: Iterator[int] = itertools.count(len(state.items))


class Runtime(Protocol):
    """Something that can be run. `resumes` says whether it can go on after a crash."""

    resumes: bool

    def run(self, context: RunContext) -> AsyncGenerator[Sequence[Draft], None]:
        """Work on the run, yielding drafts as they happen, in small batches.

        Ending normally completes the run unless a run end was yielded. `ModelFailed` and any other
        exception fail it. Cancellation arrives as `CancelledError` at the point of the wait.
        """
        ...
