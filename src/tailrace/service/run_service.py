"""The operations on runs, for every transport: start, answer, read, follow, cancel, list, forget.

A transport decodes a request, calls one of these with its `Caller`, and encodes what comes. Whatever the
transport, a conversation's turns, a caller's limits and a repeated request mean the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, Unavailable
from tailrace.events import ids
from tailrace.events.answers import Answer, Given
from tailrace.events.items import Item
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import RunFailed, RunResumed
from tailrace.runs.directory import Filter, Page, RunRecord
from tailrace.runtimes.contract import objection, refusal
from tailrace.service import no_form, refusals
from tailrace.service.answers import answering, to_who_asked
from tailrace.service.caller import Caller
from tailrace.service.catalog import Catalog
from tailrace.service.outcomes import with_outcomes
from tailrace.service.projection import Projections
from tailrace.service.readers import Readers
from tailrace.service.stored_runs import StoredRuns
from tailrace.service.subscription import Subscription
from tailrace.service.turns import with_history
from tailrace.service.views import View
from tailrace.service.waits import Waits

CLIENT = "a client"
"""Who cancels a run, as its log says."""

_OUTPUTS = {
    "chat": "response_format.json_schema.schema",
    "responses": "text.format.schema",
    "messages": "output_config.format.schema",
}
"""Where a surface's requests have the schema for the answer."""


class Reading(Struct, frozen=True):
    """A caller's reading of a run: the frames of a view from one on. `counted` counts the reader while it
    reads."""

    caller: Caller
    run: str
    view: View
    subscription: Subscription
    counted: AbstractContextManager[None]


class RunService(StoredRuns, frozen=True):
    """The operations. `hold_seconds` is how long at most the head of a stream waits for what a run says
    first (`refusals.py`)."""

    catalog: Catalog
    projections: Projections
    readers: Readers
    waits: Waits
    hold_seconds: float

    async def begin(
        self, caller: Caller, request: RunRequest, body: bytes, *, of_agent: bool, param: str
    ) -> tuple[str, int]:
        """Start a run, or let one that waits go on where the request answers it: the run, and the turn of it
        that this begins. `of_agent`: the request is sent to an agent, whose name its `param` has."""
        answer = await answering(self, request, caller.owner, of_agent=of_agent)
        if answer is not None:
            to_who_asked(answer.agent, request.agent, param)
            given = await self.answer(caller, answer.run, answer.answer, body, request, answer.said)
            return answer.run, given.turn
        if request.conversation:  # before one waits for a turn of it, which tells that it is there
            await self.conversations.get(request.conversation, caller.owner)
        request = await with_outcomes(self, request, caller.owner)
        run, _ = await self.start(caller, request, body)
        return run, 0

    async def start(
        self,
        caller: Caller,
        request: RunRequest,
        body: bytes,
        *,
        told: bool = False,
        key: str = "",
    ) -> tuple[str, bool]:
        """Start a run as the next turn of what it follows, or attach to the run that the same request started
        before; returns the run and whether it is new.

        Turns of one conversation are taken one after the other, so each sees the one before it. With `told`
        the request brings the whole history itself; `key` as for `Caller.submission`. Raises as
        `with_history` and `Supervisor.start`, and `BadRequest` for what the agent cannot do.
        """
        if not request.conversation:
            return await self._start(caller, request, body, told=told, key=key)
        async with self.conversations.turns.take(request.conversation):
            return await self._start(caller, request, body, told=told, key=key)

    async def _start(
        self, caller: Caller, request: RunRequest, body: bytes, *, told: bool, key: str
    ) -> tuple[str, bool]:
        if not told:
            request = await with_history(self, request, caller.owner)
        if wrong := objection(self.supervisor.runtime(request.agent), request):
            raise BadRequest(
                f"The schema for the answer cannot be used: {wrong}.",
                param=_OUTPUTS.get(request.surface, ""),
                code="invalid_json_schema",
            )
        self._has_form(request, body)
        submission = caller.submission(body, key)
        return await self.supervisor.start(request, owner=caller.maker, submission=submission)

    def _has_form(self, request: RunRequest, body: bytes) -> None:
        """Raises `BadRequest` for what the agent's model server has no form for."""
        if refused := refusal(self.supervisor.runtime(request.agent), request):
            raise no_form.bad_request(refused, request, body)

    async def answer(
        self,
        caller: Caller,
        run: str,
        answer: Answer,
        body: bytes,
        request: RunRequest | None = None,
        said: tuple[Item, ...] = (),
    ) -> Given:
        """Give a run what it asked for, as `Supervisor.answer`; `said` are the messages of `request` that
        came with it, and are refused as those of a run that starts."""
        if request is not None and said:
            self._has_form(msgspec.structs.replace(request, history=(), input=said), body)
        caller.decides(run, answer)
        turn = RunResumed(request, said)
        return await self.supervisor.answer(run, answer, turn, await caller.sent(body))

    async def find(self, caller: Caller, id: str, what: str = "run") -> RunRecord:
        """The run of any of its ids; `what` a client calls it. Raises `NotFound`, `Expired`."""
        return await self.directory.find(id, caller.owner, what)

    async def list(self, caller: Caller, wanted: Filter, *, after: str, limit: int) -> Page:
        """The runs that a caller may see, the newest first, after the run `after`."""
        return await self.directory.page(caller.owner, wanted, after=after, limit=limit)

    async def cancel(self, run: str, by: str = CLIENT) -> None:
        """End a live or waiting run as cancelled; returns when its log has ended. Else `Conflict`."""
        await self.supervisor.cancel(run, by)

    async def forget(self, record: RunRecord) -> None:
        """Remove an ended run at once, as if it had never been. Raises `LogError`."""
        await self.supervisor.forget(record)

    async def refused(self, run: str) -> RunFailed | None:
        """How a run that was just started fails at its model server at once, as `refusals.refused`."""
        step = refusals.refused(self.projections.log, run, self.hold_seconds)
        return await self.waits.answered(step)

    def follow(self, caller: Caller, run: str, view: View) -> Reading:
        """Read a run from its first frame on. Raises `TooMany`."""
        self.readers.check(caller.accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders)
        return self._reading(caller, run, view, subscription)

    async def resume(
        self, caller: Caller, run: str, view: View, first: int, param: str = "starting_after"
    ) -> Reading:
        """Read a run from frame `first` on, which the request's `param` has. Raises `BadRequest` if it is too
        far, `TooMany`, `Unavailable` when the process stops meanwhile."""
        self.readers.check(caller.accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders, first)
        subscription.marks = view.marks
        try:
            await self.waits.answered(subscription.prime(param))
        except BaseException:
            subscription.close()
            raise
        return self._reading(caller, run, view, subscription)

    def _reading(self, caller: Caller, run: str, view: View, subscription: Subscription) -> Reading:
        return Reading(caller, run, view, subscription, self._counted(caller, run))

    @contextmanager
    def _counted(self, caller: Caller, run: str) -> Generator[None, None, None]:
        with self.supervisor.reading(run), self.readers.reading(caller.accounts, run):
            yield

    async def attend(self, caller: Caller, run: str, *, pauses: bool = False) -> RunState | None:
        """Wait for a run's end, or with `pauses` for a pause too; None when the caller left before.

        Raises `Unavailable` when the process stops before the run does.
        """
        with self.supervisor.reading(run):
            ended = asyncio.ensure_future(self._settled(run, pauses=pauses))
            left = asyncio.ensure_future(caller.left())
            try:
                await asyncio.wait((ended, left), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():
                    return None
            finally:
                for waiting in (ended, left):
                    waiting.cancel()
                await asyncio.gather(ended, left, return_exceptions=True)
        state = await self.directory.state(run)
        if not state.ended and not (pauses and state.phase == "waiting"):
            raise Unavailable(f"The server is restarting; {ids.run_id(run)} continues.")
        return state

    async def _settled(self, run: str, *, pauses: bool) -> None:
        """Return when the run has ended, or with `pauses` when it waits; or when the process stops."""
        changed = asyncio.Event()
        unwatch = self.projections.log.watch(run, lambda _: changed.set())
        try:
            while True:
                changed.clear()
                await self.supervisor.wait(run)
                state = await self.directory.state(run)
                if state.ended or (pauses and state.phase == "waiting") or self.waits.stopping:
                    return
                await self.waits.until(changed)
        finally:
            unwatch()
