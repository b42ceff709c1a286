"""`/openapi.json`: an OpenAPI description of this server's routes.

Paths, methods and parameters are read from the routes, so none can be missing. The required fields of bodies
are listed here, and tests compare them with the server's behaviour. Bodies accept more than this describes:
other fields are passed on, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tailrace.errors import BadRequest
from tailrace.http.guard import refuse_unknown_queries
from tailrace.protocols.failures import error_body

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ROLE: Schema = {"type": "string", "enum": ["user", "assistant"]}
MESSAGE: Schema = {"type": "object", "properties": {"role": ROLE, "content": TEXT}}
MESSAGES: Schema = {"type": "array", "items": MESSAGE}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer"}
TEXTS: Schema = {"type": "array", "items": TEXT}
PAGE = {"limit": NUMBER, "order": {"type": "string", "enum": ["asc", "desc"]}, "after": TEXT}
CHAT = ({"model": TEXT, "messages": MESSAGES, "stream": FLAG}, ("model", "messages"))

BODIES: dict[str, tuple[Schema, tuple[str, ...]]] = {
    # the end of a path: properties of the body (not all), and the required ones
    "POST /jobs": ({"agent": TEXT, "input": {}}, ("input",)),
    "POST /jobs/{job_id}/input": (
        {"item": {"type": "integer"}, "asked": {"type": "integer"}, "approved": FLAG},
        (),
    ),
    "POST /api/stream": ({"message": TEXT, "sessionId": TEXT, "agentId": TEXT}, ("message",)),
    "POST /responses": ({"model": TEXT, "input": {}, "stream": FLAG}, ()),
    "POST /responses/input_tokens": ({"model": TEXT, "input": {}}, ()),
    "POST /conversations": ({"items": MESSAGES, "metadata": {"type": "object"}}, ()),
    "POST /conversations/{conversation_id}": ({"metadata": {"type": "object"}}, ()),
    "POST /conversations/{conversation_id}/items": ({"items": MESSAGES}, ("items",)),
    "POST /chat/completions": CHAT,
    "POST /messages": (
        {**CHAT[0], "max_tokens": {"type": "integer"}},
        ("model", "messages", "max_tokens"),
    ),
    "POST /messages/count_tokens": CHAT,
    "POST /api/chat": ({"id": TEXT, "agent": TEXT, "messages": MESSAGES}, ("id",)),
    "POST /agui/{agent}": (
        {"threadId": TEXT, "runId": TEXT, "messages": MESSAGES},
        ("threadId", "runId", "messages"),
    ),
    "POST /agui/{agent}/cancel": ({"threadId": TEXT, "runId": TEXT}, ("threadId", "runId")),
}
QUERY: dict[str, dict[str, Schema]] = {
    "GET /responses/{response_id}": {"stream": FLAG, "starting_after": NUMBER, "include": TEXTS},
    "GET /responses/{response_id}/input_items": PAGE,
    "GET /conversations/{conversation_id}/items": PAGE,
    "GET /models": {"limit": NUMBER, "after_id": TEXT, "before_id": TEXT},
    "GET /jobs": {
        **dict.fromkeys(("limit", "since", "until"), NUMBER),
        **dict.fromkeys(("after", "agent", "status", "surface", "conversation"), TEXT),
    },
    "GET /jobs/{job_id}/stream": {"after": NUMBER, "as": TEXT},
    "GET /api/stream/{session_id}": {"after": NUMBER, "run": TEXT, "tenantId": TEXT},
    "POST /api/chat": {"agent": TEXT},
    "GET /api/chat/{chat_id}/stream": {"after": NUMBER, "responseId": TEXT},
    "POST /api/chat/{chat_id}/cancel": {"responseId": TEXT},
}
OPEN = ("/healthz", "/readyz", "/openapi.json")
"""Paths that need no key."""
ANSWERS = {
    "200": "The result, or its stream.",
    "202": "Accepted.",
    "204": "Nothing is running.",
    "400": "Invalid request; the message names the field.",
    "401": "Missing or invalid credentials.",
    "403": "The key, or the origin of the page, does not allow this.",
    "404": "Not found, or owned by another user.",
    "409": "The state of the run does not allow this.",
    "410": "Expired.",
    "413": "Too large.",
    "415": "Unsupported content encoding; Accept-Encoding lists the supported ones.",
    "422": "Valid, but not supported.",
    "429": "Rate limit exceeded; Retry-After says when to retry.",
    "499": "The client left.",
    "500": "Server error, or the run failed on a surface that reports it by a status.",
    "503": "Starting, stopping, or unable to write; Retry-After says when to retry.",
}


def document(routes: Sequence[Route]) -> Schema:
    """The OpenAPI 3.1 description of these routes."""
    paths: dict[str, Schema] = {}
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(method, path)
    key = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tailrace", "version": version("tailrace")},
        "paths": paths,
        "components": {"securitySchemes": {"key": key}},
    }


def route(routes: Sequence[Route]) -> Route:
    """The route that serves the description of `routes` and of itself."""

    async def describe(http: Request) -> Response:
        try:
            refuse_unknown_queries(http, ())
        except BadRequest as error:
            return Response(error_body(error), error.status, media_type="application/json")
        return JSONResponse(description)

    itself = Route("/openapi.json", describe)
    description = document([*routes, itself])
    return itself


def _operation(method: str, path: str) -> Schema:
    name = f"{method} {path}"
    operation: Schema = {
        "operationId": re.sub(r"\W+", "_", name.lower()).strip("_"),
        "parameters": [_parameter(each, "path", TEXT) for each in re.findall(r"{(\w+)}", path)],
        "responses": {status: {"description": text} for status, text in ANSWERS.items()},
    }
    place = re.sub(r"^(/v1|/agent/{agent_id})(?=/)", "", path)
    for query, schema in QUERY.get(f"{method} {place}", {}).items():
        operation["parameters"].append(_parameter(query, "query", schema))
    if body := BODIES.get(f"{method} {place}"):
        schema = {"type": "object", "properties": body[0], "required": list(body[1])}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    if path not in OPEN:
        operation["security"] = [{"key": []}, {}]
    return operation


def _parameter(name: str, place: str, schema: Schema) -> Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
