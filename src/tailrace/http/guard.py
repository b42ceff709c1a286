"""The guard before every handler: it authenticates the caller, and turns errors into the surface's own
form."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Protocol, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.auth.gate import Gate
from tailrace.auth.principal import LOCAL, Principal, Scope
from tailrace.errors import (
    BadRequest,
    CallerError,
    Damaged,
    LogError,
    NotOpen,
    TooMany,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from tailrace.events.request import LOCAL_CALLER, RunCaller
from tailrace.http import audit
from tailrace.http.bodies import ACCEPT_ENCODING
from tailrace.http.event_stream import EventStream
from tailrace.http.replies import retry_headers
from tailrace.http.request_ids import fresh_id, request_id
from tailrace.protocols.anthropic_messages.wire import VERSION
from tailrace.protocols.anthropic_messages.wire import error_body as messages_body
from tailrace.runs.owner import Owner
from tailrace.service.caller import GRACE, Caller, Delivery

logger = logging.getLogger("tailrace.http")

Reply: TypeAlias = Response | EventStream


class Handler(Protocol):
    """Handles a request of a caller; its name is the action in the audit log."""

    __name__: str

    def __call__(self, http: Request, caller: Caller, /) -> Awaitable[Reply]: ...


Endpoint = Callable[[Request], Awaitable[Reply]]


ErrorBody = Callable[[CallerError, str], bytes]
"""A surface's error body, for an error and the id of the request that caused it."""

MOST_SAID = 2_000
"""Characters of an error's message that a client gets."""
READS = frozenset({"GET", "HEAD"})


def guarded_routes(
    gate: Gate,
    handlers: Mapping[tuple[str, str], Handler],
    error_body: ErrorBody,
    mount: str = "",
    queries: Mapping[tuple[str, str], frozenset[str]] | None = None,
) -> list[Route]:
    """A surface's routes, under the path of a mount, from its handlers by method and path. With `queries`,
    other query parameters are refused; surfaces of other vendors may have more than we know. Under a mount,
    requests of Anthropic's clients get errors in their own form."""
    routes: list[Route] = []
    for (method, path), handler in handlers.items():
        if queries is not None:
            handler = _with_known_queries(handler, queries.get((method, path), frozenset()))
        endpoint = _guard(gate, handler, error_body, messages_body if mount else error_body)
        routes.append(Route(mount + path, endpoint, methods=[method]))
    return routes


def _with_known_queries(handler: Handler, names: frozenset[str]) -> Handler:
    """A handler that refuses query parameters other than `names`."""

    @functools.wraps(handler)
    async def checked_handler(http: Request, caller: Caller) -> Reply:
        refuse_unknown_queries(http, names)
        return await handler(http, caller)

    return checked_handler


def refuse_unknown_queries(http: Request, names: Collection[str]) -> None:
    """Raises `BadRequest` for a query parameter other than `names`."""
    unknown = next((name for name in http.query_params if name not in names), None)
    if unknown is not None:
        hint = f"known: {', '.join(sorted(names))}" if names else "there are none here"
        raise BadRequest(f"Unknown query parameter {unknown[:40]!r}; {hint}.", param=unknown[:40])


def _guard(gate: Gate, handler: Handler, usual: ErrorBody, anthropic_body: ErrorBody) -> Endpoint:
    """A handler behind the gate: `GET` needs the scope `read`, other methods `run`. Errors have the form
    `usual`, or `anthropic_body` for a request with Anthropic's version header."""

    async def endpoint(http: Request) -> Reply:
        reply = await reply_or_error(http)
        if "x-request-id" not in reply.headers:
            reply.headers.update(request_id(fresh_id()))
        status = reply.status_code if isinstance(reply, Response) else 200
        audit.line(http, handler.__name__, status, reply.headers)
        return reply

    async def reply_or_error(http: Request) -> Reply:
        scope: Scope = "read" if http.method in READS else "run"
        error_body = anthropic_body if VERSION in http.headers else usual
        try:
            http.state.principal = await gate.admit(http.headers, scope)
            return await handler(http, caller(http, http.state.principal, gate))
        except CallerError as error:
            return _error_reply(error, error_body)
        except NotOpen:
            starting = Unavailable("The server starts; try again in a moment.")
            return _error_reply(starting, error_body)
        except Damaged as error:  # the store has logged the place, once
            return _error_reply(Unavailable(str(error), code="damaged"), error_body)
        except LogError as error:  # without a traceback: a full disk causes one for each request
            logger.error("%s %s: %s", http.method, http.scope["path"], error)
            refusal = Unavailable("The log cannot be written at the moment; try again.")
            return _error_reply(refusal, error_body)
        except ClientDisconnect:
            return Response(status_code=499)  # the client has left
        except Exception:
            logger.exception("%s %s", http.method, http.scope["path"])
            return _error_reply(_ServerFault("The server had an error."), error_body)

    return endpoint


class _ServerFault(Unavailable):
    """A bug of ours: the client gets no details."""

    status = 500


def _error_reply(error: CallerError, error_body: ErrorBody) -> Response:
    id = fresh_id()
    headers = request_id(id)
    if isinstance(error, Unavailable):
        headers["retry-after"] = "1"
    if isinstance(error, TooMany):
        headers |= retry_headers(error.retry_after)
    if isinstance(error, UnsupportedMedia):
        headers["accept-encoding"] = ACCEPT_ENCODING
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    error.message = error.message[:MOST_SAID]  # it may repeat what a client sent
    return Response(error_body(error, id), error.status, headers, media_type="application/json")


def caller(http: Request, principal: Principal, gate: Gate) -> Caller:
    """The caller of an admitted request."""
    retries = http.headers.get("x-stainless-retry-count", "0")
    return Caller(
        owner=Owner(principal.tenant, "" if "admin" in principal.scopes else principal.user),
        maker=Owner(principal.tenant, principal.user),
        accounts=principal.accounts,
        name=principal.user or principal.token,
        identity=_identity(principal),
        headers=_run_headers(http, gate),
        delivery=Delivery(
            path=http.scope["path"],
            key=http.headers.get("idempotency-key", ""),
            retry=retries.isascii() and retries.isdigit() and retries.strip("0") != "",
            grace=http.headers.get(GRACE),
        ),
        is_valid=partial(gate.still, http.headers, principal),
        wait_for_disconnect=partial(_wait_for_disconnect, http),
        record_answer=partial(audit.record_answer, http),
    )


def _identity(principal: Principal) -> RunCaller:
    if principal.tenant == LOCAL.tenant and not (principal.user or principal.token):
        return LOCAL_CALLER
    return RunCaller(
        tenant=principal.tenant,
        user=principal.user,
        token=principal.token,
        scopes=tuple(sorted(principal.scopes)),
        claims=dict(principal.claims),
    )


def _run_headers(http: Request, gate: Gate) -> dict[str, str]:
    """The headers that a run keeps; several of one name are joined, as HTTP allows."""
    return {
        name: ", ".join(http.headers.getlist(name))
        for name in gate.run_headers
        if name in http.headers
    }


async def _wait_for_disconnect(http: Request) -> None:
    """Return when the client has left."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
