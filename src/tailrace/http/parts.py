"""What the routes work with: the parts of a server, made by `assembly`, and the steps all share."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tailrace.auth.gate import Gate
from tailrace.auth.principal import Principal
from tailrace.errors import BadRequest, Unavailable
from tailrace.events import ids
from tailrace.events.answers import Answer, Given
from tailrace.events.items import Item
from tailrace.events.request import RunRequest
from tailrace.events.state import RunState
from tailrace.events.types import RunFailed, RunResumed
from tailrace.http import audit
from tailrace.http.bodies import Bodies
from tailrace.http.event_stream import EventStream, Streams
from tailrace.http.framing import FRAMINGS
from tailrace.http.guard import maker, principal
from tailrace.http.health import Health
from tailrace.http.life import Life
from tailrace.http.request_ids import fresh_id, request_id
from tailrace.runs.accounts import Purse
from tailrace.runs.conversations import Conversations
from tailrace.runs.directory import Directory
from tailrace.runs.submission import Sent, Submission
from tailrace.runs.supervisor import Supervisor
from tailrace.runtimes.contract import objection, refusal
from tailrace.service import no_form
from tailrace.service.catalog import Catalog
from tailrace.service.documents import Documents
from tailrace.service.projection import Projections
from tailrace.service.readers import Readers
from tailrace.service.refusals import refused
from tailrace.service.subscription import Subscription
from tailrace.service.views import View

GRACE_HEADER = "x-disconnect-grace"
"""On a request that starts a run: how many seconds it goes on when nobody reads it, or `forever`."""

MOST_GRACE = 86_400

PLAIN = string.punctuation.replace("%", "")
"""What stands in a header's value as it is, beside letters and digits; the rest is percent-encoded, as in the
path that the name is asked by."""

_OUTPUTS = {
    "chat": "response_format.json_schema.schema",
    "responses": "text.format.schema",
    "messages": "output_config.format.schema",
}
"""Where a surface's requests have the schema for the answer."""


class Parts(Struct, frozen=True):
    """The parts of a running server; `life` opens and closes them."""

    gate: Gate
    catalog: Catalog
    supervisor: Supervisor
    directory: Directory
    conversations: Conversations
    projections: Projections
    streams: Streams
    health: Health
    readers: Readers
    bodies: Bodies
    documents: Documents
    extension_key: str
    functions: bool
    life: Life

    async def start(
        self, http: Request, request: RunRequest, body: bytes, key: str = ""
    ) -> tuple[str, bool]:
        """Start a run for an HTTP request, or attach to the run it started before. `key` stands for the
        client's `Idempotency-Key` on a surface whose requests name their runs."""
        runtime = self.supervisor.runtime(request.agent)
        if wrong := objection(runtime, request):
            raise BadRequest(
                f"The schema for the answer cannot be used: {wrong}.",
                param=_OUTPUTS.get(request.surface, ""),
                code="invalid_json_schema",
            )
        self._can_be_told(request, body)
        sent = submission(http, body, key)
        return await self.supervisor.start(request, owner=maker(http), submission=sent)

    def _can_be_told(self, request: RunRequest, body: bytes) -> None:
        """Raises `BadRequest` for what the agent's model server has no form for."""
        if refused := refusal(self.supervisor.runtime(request.agent), request):
            raise no_form.bad_request(refused, request, body)

    async def body(self, http: Request) -> bytes:
        """The request's whole body, as `Bodies.read`."""
        accounts = principal(http).accounts
        return await self.bodies.read(http, [account.limits.input_bytes for account in accounts])

    async def answer(
        self,
        http: Request,
        run: str,
        answer: Answer,
        body: bytes,
        request: RunRequest | None = None,
        said: tuple[Item, ...] = (),
    ) -> Given:
        """Give a run what it asked for, as `Supervisor.answer`; `said` are the messages of `request` that
        came with it, and are refused as those of a run that starts."""
        if request is not None and said:
            self._can_be_told(msgspec.structs.replace(request, history=(), input=said), body)
        audit.answers(http, run, answer)
        turn = RunResumed(request, said)
        return await self.supervisor.answer(run, answer, turn, self.sent(http, body))

    def sent(self, http: Request, body: bytes) -> Sent:
        """How a request was sent, to be recognised when it comes again."""
        return Sent.of(submission(http, body), maker(http))

    def stream(self, http: Request, run: str, view: View) -> EventStream:
        """A reply that streams a run from its first frame. Raises `TooMany`."""
        self.readers.check(principal(http).accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders)
        return self._reply(http, subscription, run, view)

    async def refused(self, run: str) -> RunFailed | None:
        """How a run that was just started fails at its model server at once, as `refusals.refused`."""
        seconds = self.streams.settings.heartbeat_seconds
        step = refused(self.projections.log, run, seconds)
        return await self.streams.answered(step)

    async def resume(self, http: Request, run: str, view: View, first: int) -> EventStream:
        """A reply that streams a run from frame `first` on. Raises `BadRequest` if it is too far,
        `TooMany`, `Unavailable` when the server stops meanwhile."""
        self.readers.check(principal(http).accounts, run)
        subscription = Subscription(self.projections, (run, view.key), view.encoders, first)
        subscription.marks = view.marks
        param = "after" if "after" in http.query_params else "starting_after"
        try:
            await self.streams.answered(subscription.prime(param))
        except BaseException:
            subscription.close()
            raise
        return self._reply(http, subscription, run, view)

    def _reply(
        self, http: Request, subscription: Subscription, run: str, view: View
    ) -> EventStream:
        who = principal(http)
        reading = self._reading(who, run)
        headers = {**run_headers(run), **session_header(view.session)}
        welcome = partial(self.gate.still, http.headers, who)
        return EventStream(
            self.streams, subscription, reading, welcome, FRAMINGS[view.frames], headers
        )

    @contextmanager
    def _reading(self, who: Principal, run: str) -> Generator[None, None, None]:
        with self.supervisor.reading(run), self.readers.reading(who.accounts, run):
            yield

    async def attend(self, http: Request, run: str, *, pauses: bool = False) -> RunState | None:
        """Wait for a run's end, or with `pauses` for a pause too; None when the client left before.

        Raises `Unavailable` when the server stops before the run does.
        """
        with self.supervisor.reading(run):
            ended = asyncio.ensure_future(self._settled(run, pauses=pauses))
            left = asyncio.ensure_future(_left(http))
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
            raise Unavailable(f"The server is restarting; {ids.run_id(run)} goes on.")
        return state

    async def _settled(self, run: str, *, pauses: bool) -> None:
        """Return when the run has ended, or with `pauses` when it waits; or when the server stops."""
        changed = asyncio.Event()
        unwatch = self.projections.log.watch(run, lambda _: changed.set())
        try:
            while True:
                changed.clear()
                await self.supervisor.wait(run)
                state = await self.directory.state(run)
                if state.ended or (pauses and state.phase == "waiting") or self.streams.stopping:
                    return
                await self.streams.until(changed)
        finally:
            unwatch()


def submission(http: Request, body: bytes, key: str = "") -> Submission:
    """How a request was sent; `key` as for `Parts.start`."""
    retries = http.headers.get("x-stainless-retry-count", "0")
    return Submission(
        key=key or http.headers.get("idempotency-key", ""),
        body=http.scope["path"].encode() + b"\n" + body,
        retry=retries.isascii() and retries.isdigit() and retries.strip("0") != "",
        grace=_grace(http.headers.get(GRACE_HEADER)),
        purses=_purses(principal(http)),
    )


def run_headers(run: str) -> dict[str, str]:
    """What every reply about a run carries, so that it can be found on any other surface."""
    return {"x-run-id": ids.run_id(run), **request_id(ids.run_id(run))}


def session_header(session: str) -> dict[str, str]:
    """What a reply of a session names it by; nothing without one."""
    return {"x-session-id": quote(session, safe=PLAIN)} if session else {}


def json_reply(
    body: bytes, *, status: int = 200, run: str = "", more: Mapping[str, str] | None = None
) -> Response:
    """A JSON document; with `run`, under its headers; with `more` headers."""
    headers = {**(run_headers(run) if run else request_id(fresh_id())), **(more or {})}
    return Response(body, status, headers, media_type="application/json")


def document(value: object, *, run: str = "") -> Response:
    """A JSON document from a value."""
    return json_reply(msgspec.json.encode(value), run=run)


def _purses(who: Principal) -> tuple[Purse, ...]:
    """The accounts of a caller that have a limit on runs or on what they spend."""
    purses = (
        Purse(
            account.key,
            account.limits.concurrent_runs,
            account.limits.tokens_per_day,
            account.limits.cost_per_day,
        )
        for account in who.accounts
    )
    return tuple(purse for purse in purses if purse != Purse(purse.key))


def cursor(text: str, name: str) -> int:
    """A frame cursor from a query or header: the number of the last frame seen, or -1 for none."""
    if text == "-1":
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.", param=name)
    return int(text)


def _grace(text: str | None) -> float | msgspec.UnsetType | None:
    """What `GRACE_HEADER` asks for."""
    if text is None:
        return msgspec.UNSET
    if text == "forever":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MOST_GRACE:
        raise BadRequest(
            f"{GRACE_HEADER} must be 'forever' or whole seconds up to {MOST_GRACE}.",
            param=GRACE_HEADER,
        )
    return float(text)


def flag(text: str | None) -> bool:
    """A boolean query parameter."""
    return text is not None and text.lower() in ("true", "1")


async def _left(http: Request) -> None:
    """Resolve when the client is gone."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
