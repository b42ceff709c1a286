"""What stands before every handler: who asks, and errors in the surface's own form, never with a trace."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeAlias

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tailrace.auth.gate import Gate
from tailrace.auth.principal import Scope
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
from tailrace.http import audit, codings
from tailrace.http.callers import caller
from tailrace.http.event_stream import EventStream
from tailrace.http.refusals import retry_headers
from tailrace.http.request_ids import fresh_id, request_id
from tailrace.protocols.anthropic_messages.wire import VERSION
from tailrace.protocols.anthropic_messages.wire import error_body as messages_body
from tailrace.service.caller import Caller

logger = logging.getLogger("tailrace.http")

Reply: TypeAlias = Response | EventStream


class Handler(Protocol):
    """Answers a request of a caller; its name is what is done."""

    __name__: str

    def __call__(self, http: Request, caller: Caller, /) -> Awaitable[Reply]: ...


Endpoint = Callable[[Request], Awaitable[Reply]]


ErrorBody = Callable[[CallerError, str], bytes]
"""A surface's error body, for an error and the id of the request that caused it."""

MOST_SAID = 2_000
"""Characters of an error's message."""
READS = frozenset({"GET", "HEAD"})


def guarded(
    gate: Gate,
    handlers: Mapping[tuple[str, str], Handler],
    error_body: ErrorBody,
    mount: str = "",
    queries: Mapping[tuple[str, str], frozenset[str]] | None = None,
) -> list[Route]:
    """A surface's routes, under the path of a mount, from its handlers by method and path. With `queries`, a
    query parameter that is not named there is refused; other people's surfaces have more than we know. Under
    a mount Anthropic's clients ask too, and are told of errors in their own form."""
    routes: list[Route] = []
    for (method, path), handler in handlers.items():
        if queries is not None:
            handler = _asked_right(handler, queries.get((method, path), frozenset()))
        endpoint = _guarded(gate, handler, error_body, messages_body if mount else error_body)
        routes.append(Route(mount + path, endpoint, methods=[method]))
    return routes


def _asked_right(handler: Handler, known: frozenset[str]) -> Handler:
    """A handler that refuses query parameters it does not know."""

    @functools.wraps(handler)
    async def asked(http: Request, caller: Caller) -> Reply:
        only_asked(http, known)
        return await handler(http, caller)

    return asked


def only_asked(http: Request, known: Collection[str]) -> None:
    """Refuse query parameters beyond those that are known. Raises `BadRequest`."""
    unknown = next((name for name in http.query_params if name not in known), None)
    if unknown is not None:
        names = f"known: {', '.join(sorted(known))}" if known else "there are none here"
        raise BadRequest(f"Unknown query parameter {unknown[:40]!r}; {names}.", param=unknown[:40])


def _guarded(gate: Gate, handler: Handler, usual: ErrorBody, versioned: ErrorBody) -> Endpoint:
    """A handler that only those reach who may: `GET` needs the scope `read`, the rest `run`. Errors are told
    in the `usual` form, to who sends Anthropic's version in the `versioned` one."""

    async def endpoint(http: Request) -> Reply:
        reply = await answered(http)
        if "x-request-id" not in reply.headers:
            reply.headers.update(request_id(fresh_id()))
        status = reply.status_code if isinstance(reply, Response) else 200
        audit.line(http, handler.__name__, status, reply.headers)
        return reply

    async def answered(http: Request) -> Reply:
        scope: Scope = "read" if http.method in READS else "run"
        error_body = versioned if VERSION in http.headers else usual
        try:
            http.state.principal = await gate.admit(http.headers, scope)
            return await handler(http, caller(http, http.state.principal, gate))
        except CallerError as error:
            return _error_reply(error, error_body)
        except NotOpen:
            starting = Unavailable("The server starts; try again in a moment.")
            return _error_reply(starting, error_body)
        except Damaged as error:  # the store has said where, once
            return _error_reply(Unavailable(str(error), code="damaged"), error_body)
        except (
            LogError
        ) as error:  # of the machine, not of our code: a full disk gives one a request
            logger.error("%s %s: %s", http.method, http.scope["path"], error)
            refusal = Unavailable("The log cannot be written at the moment; try again.")
            return _error_reply(refusal, error_body)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody is there to read it
        except Exception:
            logger.exception("%s %s", http.method, http.scope["path"])
            return _error_reply(_Broken("The server had an error."), error_body)

    return endpoint


class _Broken(Unavailable):
    """Our own fault, told without details."""

    status = 500


def _error_reply(error: CallerError, error_body: ErrorBody) -> Response:
    id = fresh_id()
    headers = request_id(id)
    if isinstance(error, Unavailable):
        headers["retry-after"] = "1"
    if isinstance(error, TooMany):
        headers |= retry_headers(error.retry_after)
    if isinstance(error, UnsupportedMedia):
        headers["accept-encoding"] = codings.ACCEPTED
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    error.message = error.message[:MOST_SAID]  # it may repeat what a client sent
    return Response(error_body(error, id), error.status, headers, media_type="application/json")
