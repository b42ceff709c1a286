"""The ASGI application over an assembled server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from tailrace.errors import CallerError, NotFound, Unavailable
from tailrace.http import forms, health, openapi
from tailrace.http.instance import Instance
from tailrace.http.mounts import mounts
from tailrace.http.origin import OriginGuard
from tailrace.http.request_ids import RequestIds, fresh_id, request_id
from tailrace.http.routes import agui, chat, conversations, jobs, messages, responses, sessions, ui

RETRIES = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers by which the SDKs of OpenAI and Anthropic schedule retries, in a browser too."""
READABLE_HEADERS = ("x-run-id", "x-request-id", "request-id", "x-session-id", *RETRIES)


def create_app(instance: Instance, cors_origins: Sequence[str] = ()) -> Starlette:
    """All surfaces of a server. Its lifespan is the server's lifecycle."""
    service, edge = instance.service, instance.edge
    routes: list[Route] = [
        *health.routes(edge.health),
        *jobs.routes(service, edge),
        *sessions.routes(service, edge),
    ]
    for mount in mounts(service.catalog, edge.extension_key, functions=edge.functions):
        routes += responses.routes(service, edge, mount)
        routes += conversations.routes(service, edge, mount)
        routes += chat.routes(service, edge, mount)
        routes += messages.routes(service, edge, mount)
    routes += [*ui.routes(service, edge), *agui.routes(service, edge)]
    routes.append(openapi.route(routes))
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(cors_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=list(READABLE_HEADERS),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        async with instance.lifecycle:
            yield

    return Starlette(
        routes=routes,
        middleware=[
            Middleware(RequestIds),
            *([cors] if cors_origins else []),
            Middleware(OriginGuard, origins=cors_origins),
        ],
        exception_handlers={HTTPException: _no_route},
        lifespan=lifespan,
    )


def create_health_app(instance: Instance) -> Starlette:
    """The health endpoints alone, for a process that works on runs and serves no surface."""
    return Starlette(
        routes=health.routes(instance.edge.health), middleware=[Middleware(RequestIds)]
    )


def unavailable(message: str, scope: Scope) -> Response:
    """The 503 of a request while the server opens or closes, in the form of its surface."""
    id, error = fresh_id(), Unavailable(message)
    headers = {"retry-after": "1", **request_id(id)}
    body = forms.body_of(error, id, scope)
    return Response(body, error.status, headers, media_type="application/json")


def _no_route(http: Request, error: Exception) -> Response:
    """An unknown path, or a known one with another method, in the form of the surface it looks like."""
    path, id = http.scope["path"], fresh_id()
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = request_id(id)
    fault: CallerError = NotFound(f"Unknown request URL: {http.method} {path}.")
    if path.endswith("/responses") and http.headers.get("upgrade", "").lower() == "websocket":
        # Codex continues with HTTP at once; after another status it retries for ten seconds.
        fault = NotFound(
            "There is no WebSocket here: send each response as a POST, with stream: true."
        )
        status, headers = 426, {**headers, "upgrade": "HTTP/1.1", "connection": "upgrade"}
    elif path.endswith("/responses/compact"):
        fault = NotFound("Responses are not compacted here: send the items to keep instead.")
        status = 404
    elif status == 405:
        fault = NotFound(f"Method {http.method} is not allowed for {path}.")
    body = forms.body_of(fault, id, http.scope)
    return Response(body, status, headers, media_type="application/json")
