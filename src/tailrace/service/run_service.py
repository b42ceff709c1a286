"""The operations on runs, for every transport: start, answer, read, follow, cancel, list, forget.

A transport decodes a request, calls one of these with its `Caller`, and encodes the result. A conversation's
turns, a caller's limits and a repeated request mean the same on each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, Unavailable
from tailrace.events import ids
from tailrace.events.answers import Answer, AnswerPlace
from tailrace.events.items import Item
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import Event, RunFailed, RunResumed
from tailrace.log.follow import follow
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Filter, Page, RunRecord
from tailrace.runtimes.contract import lacking, objection, refusal
from tailrace.service import refusals
from tailrace.service.answers import find_answer, require_same_agent
from tailrace.service.caller import Caller
from tailrace.service.catalog import Catalog
from tailrace.service.documents import Document
from tailrace.service.lifecycle import Shutdown
from tailrace.service.message_answers import find_message_answer, without_open_calls
from tailrace.service.outcomes import with_outcomes
from tailrace.service.projection import Projections
from tailrace.service.readers import ReaderLimits
from tailrace.service.stored_runs import StoredRuns
from tailrace.service.subscription import Subscription
from tailrace.service.turns import References, with_history, with_references, with_thread
from tailrace.service.views import View

CLIENT = "a client"
"""The name in the log of a client that cancels a run."""

_SCHEMA_PARAM = {
    "chat": "response_format.json_schema.schema",
    "responses": "text.format.schema",
    "messages": "output_config.format.schema",
}
"""The parameter that has the JSON schema of the answer, by surface."""


class Reading(Struct, frozen=True):
    """A caller's reading of a run. `subscription` has the frames of `view`; `reader_count` is the context in
    which the caller counts as a reader of the run."""

    caller: Caller
    run: str
    view: View
    subscription: Subscription
    reader_count: AbstractContextManager[None]


class RunService(Struct, frozen=True):
    """The operations. Runs are named by their suffix (`events/ids.py`). `hold_seconds` is the longest time
    for which the head of a stream waits for the first output of its run (`refusals.py`)."""

    runs: StoredRuns
    catalog: Catalog
    projections: Projections
    readers: ReaderLimits
    shutdown: Shutdown
    hold_seconds: float

    @property
    def conversations(self) -> Conversations:
        """The conversations and sessions of all owners."""
        return self.runs.conversations

    async def answer_or_start(
        self,
        caller: Caller,
        request: RunRequest,
        body: bytes,
        *,
        references: References = (),
        to_agent: bool,
        param: str,
    ) -> tuple[str, int]:
        """Answer a waiting run if the request answers one, else start a run. Returns the run and the turn of
        it that this begins. `to_agent`: the request goes to an agent, named by its parameter `param`. Raises
        as `start` and `answer`."""
        request = await with_references(self.runs, request, references, caller.owner)
        place = partial(refusals.item_place, request, body)
        answering = await find_answer(self.runs, request, caller.owner, place, to_agent=to_agent)
        if answering is None:
            answering = await find_message_answer(self.runs, request, caller.owner, place)
        if answering is not None:
            require_same_agent(answering.agent, request.agent, param)
            answer_place = await self.answer(
                caller, answering.run, answering.answer, body, request, answering.messages
            )
            return answering.run, answer_place.turn
        if request.conversation:  # `start` waits for a turn of it, which shows that it exists
            await self.conversations.get(request.conversation, caller.owner)
        run, _ = await self.start(caller, without_open_calls(request), body, outcomes=True)
        return run, 0

    async def start(
        self,
        caller: Caller,
        request: RunRequest,
        body: bytes,
        *,
        whole: bool = False,
        outcomes: bool = False,
        key: str = "",
    ) -> tuple[str, bool]:
        """Start a run, or find the run that the same request started before; returns the run and whether it
        is new.

        The turns of a conversation are taken one after the other, so each sees the one before it. `whole`:
        the request has the whole history, none is added. `outcomes`: calls that the request shows as waiting
        get the outputs that this server has (`outcomes.py`). `key` as for `Caller.submission`. Raises as
        `with_history` and `Supervisor.start`, and `BadRequest` for what the agent cannot do.
        """
        request = msgspec.structs.replace(request, caller=caller.identity, headers=caller.headers)
        if outcomes:
            request = await with_outcomes(self.runs, request, caller.owner)
        if not request.conversation:
            return await self._start(caller, request, body, whole=whole, key=key)
        async with self.conversations.turns.take(request.conversation):
            return await self._start(caller, request, body, whole=whole, key=key)

    async def _start(
        self, caller: Caller, request: RunRequest, body: bytes, *, whole: bool, key: str
    ) -> tuple[str, bool]:
        if whole:
            request = msgspec.structs.replace(request, history_differs=True)
        else:
            request = await with_history(self.runs, request, caller.owner)
        if request.previous_run:
            request = await with_thread(self.runs, request, caller.owner)
        runtime = self.runs.supervisor.runtime(request.agent)
        if feature := lacking(runtime, request):
            raise refusals.lacking(feature, request)
        if fault := objection(runtime, request):
            raise BadRequest(
                f"The schema for the answer cannot be used: {fault}.",
                param=_SCHEMA_PARAM.get(request.surface, ""),
                code="invalid_json_schema",
            )
        self._check_form(request, body)
        submission = caller.submission(body, key)
        return await self.runs.supervisor.start(request, owner=caller.maker, submission=submission)

    def _check_form(self, request: RunRequest, body: bytes) -> None:
        """Raises `BadRequest` for content that the agent's model server has no form for."""
        if failure := refusal(self.runs.supervisor.runtime(request.agent), request):
            raise refusals.bad_request(failure, request, body)

    async def answer(
        self,
        caller: Caller,
        run: str,
        answer: Answer,
        body: bytes,
        request: RunRequest | None = None,
        messages: tuple[Item, ...] = (),
    ) -> AnswerPlace:
        """Answer the questions of a waiting run, as `Supervisor.answer`. `messages` of `request` that came
        with the answer are checked like those of a new run."""
        if request is not None and messages:
            self._check_form(msgspec.structs.replace(request, history=(), input=messages), body)
        caller.record_answer(run, answer)
        turn = RunResumed(request, messages)
        return await self.runs.supervisor.answer(
            run, answer, turn, await caller.repeatable_submission(body), caller.name
        )

    async def resolve(
        self, caller: Caller, request: RunRequest, references: References
    ) -> RunRequest:
        """The request with all that its model would receive: referenced items and earlier turns. Raises as
        `with_history`."""
        request = await with_references(self.runs, request, references, caller.owner)
        return await with_history(self.runs, request, caller.owner)

    async def find(self, caller: Caller, id: str, what: str = "run") -> RunRecord:
        """The run of any of its ids; `what` is the client's word for it. Raises `NotFound`, `Expired`."""
        return await self.runs.directory.find(id, caller.owner, what)

    async def list(self, caller: Caller, only: Filter, *, after: str, limit: int) -> Page:
        """The runs that a caller may see, the newest first, after the run `after`."""
        return await self.runs.directory.page(caller.owner, only, after=after, limit=limit)

    async def request(self, run: str) -> RunRequest:
        """The request that started a run. Raises `NotFound`."""
        return await self.runs.directory.request(run)

    async def state(self, run: str) -> RunState:
        """A run's state. Raises `NotFound`."""
        return await self.runs.directory.state(run)

    async def events(self, run: str) -> Sequence[Event]:
        """A run's events so far. Raises `NotFound`."""
        return await self.runs.directory.events(run)

    def follow_events(self, run: str, after: int) -> AsyncGenerator[Sequence[Event], None]:
        """A run's events after number `after`, in batches, until its end."""
        return follow(self.projections.log, run, after)

    async def document(self, run: str, make: Callable[[Sequence[Event]], Document]) -> Document:
        """What `make` makes of a run's events. Raises `NotFound`, `TooLarge`."""
        return await self.runs.documents.of_events(run, make)

    async def state_document(self, run: str, make: Callable[[RunState], Document]) -> Document:
        """What `make` makes of a run's state. Raises `NotFound`, `TooLarge`."""
        return await self.runs.documents.of_state(run, make)

    async def cancelled_document(
        self, run: str, make: Callable[[Sequence[Event]], Document]
    ) -> Document:
        """What `make` makes of the events of a run that was just cancelled, without its output if that is
        large."""
        return await self.runs.documents.of_cancelled(run, make, CLIENT)

    async def cancel(self, run: str, by: str = CLIENT) -> None:
        """Cancel a live or waiting run; returns when its log has ended. Raises `Conflict` for any other."""
        await self.runs.supervisor.cancel(run, by)

    async def forget(self, record: RunRecord) -> None:
        """Remove an ended run at once, with all records of it. Raises `LogError`."""
        await self.runs.supervisor.forget(record)

    async def early_failure(self, run: str) -> RunFailed | None:
        """The failure of a new run that its model server refuses at once, as `refusals.early_failure`."""
        step = refusals.early_failure(self.projections.log, run, self.hold_seconds)
        return await self.shutdown.unless_stopped(step)

    def follow(self, caller: Caller, run: str, view: View) -> Reading:
        """Read a run from its first frame on. Raises `TooMany`."""
        self.readers.check(caller.accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders)
        return self._reading(caller, run, view, subscription)

    async def resume(
        self, caller: Caller, run: str, view: View, first: int, param: str = "starting_after"
    ) -> Reading:
        """Read a run from frame `first` on, which the request's parameter `param` has. Raises `BadRequest` if
        the run has fewer frames, `TooMany`, `Unavailable` when the process stops meanwhile."""
        self.readers.check(caller.accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders, first)
        subscription.marks = view.marks
        try:
            await self.shutdown.unless_stopped(subscription.prime(param))
        except BaseException:
            subscription.close()
            raise
        return self._reading(caller, run, view, subscription)

    def _reading(self, caller: Caller, run: str, view: View, subscription: Subscription) -> Reading:
        return Reading(caller, run, view, subscription, self._count_reader(caller, run))

    @contextmanager
    def _count_reader(self, caller: Caller, run: str) -> Generator[None, None, None]:
        with self.runs.supervisor.reading(run), self.readers.reading(caller.accounts, run):
            yield

    async def wait_for_end(
        self, caller: Caller, run: str, *, pauses: bool = False
    ) -> RunState | None:
        """Wait for a run's end, with `pauses` also for its next pause; None when the caller left first.

        Raises `Unavailable` when the process stops first.
        """
        with self.runs.supervisor.reading(run):
            settling = asyncio.ensure_future(self._wait_until_settled(run, pauses=pauses))
            disconnected = asyncio.ensure_future(caller.wait_for_disconnect())
            try:
                await asyncio.wait((settling, disconnected), return_when=asyncio.FIRST_COMPLETED)
                if not settling.done():
                    return None
            finally:
                for task in (settling, disconnected):
                    task.cancel()
                await asyncio.gather(settling, disconnected, return_exceptions=True)
        state = await self.state(run)
        if not state.is_finished and not (pauses and state.phase == "waiting"):
            raise Unavailable(f"The server is restarting; {ids.run_id(run)} continues.")
        return state

    async def _wait_until_settled(self, run: str, *, pauses: bool) -> None:
        """Return when the run has ended, with `pauses` when it waits, or when the process stops."""
        change = asyncio.Event()
        unwatch = self.projections.log.watch(run, lambda _: change.set())
        try:
            while True:
                change.clear()
                await self.runs.supervisor.wait(run)
                state = await self.state(run)
                if (
                    state.is_finished
                    or (pauses and state.phase == "waiting")
                    or self.shutdown.started
                ):
                    return
                await self.shutdown.wait(change)
        finally:
            unwatch()
