"""The errors of model servers of all dialects, by name, and a configuration with all of these servers."""

from __future__ import annotations

import json
from typing import Any

from tests.support.refusing import ModelServer, Refusal

DIALECTS = ("chat", "responses", "messages")
WORDS = "No, for a reason."
TOO_LONG = (
    "This model's maximum context length is 4096 tokens, but the request has 5000 input tokens."
)
PAGE = {"content-type": "text/html"}
NOBODY = "http://127.0.0.1:1"
"""An address at which no server listens."""
KEY = "sk-proj-1234567890abcdef"

STATUSES = "302 400 401 402 403 404 405 408 409 410 413 415 422 425 429 499 500 501 502 503 504 520 524 529"
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def body(dialect: str, message: str = WORDS, **more: Any) -> bytes:
    """An error in the form of a dialect."""
    if dialect != "messages":
        return json.dumps({"error": {"message": message, **more}}).encode()
    kind = more.get("type", "invalid_request_error")
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()


def plain(status: int, dialect: str) -> bytes:
    return body(
        dialect, **({"type": TYPES.get(status, "api_error")} if dialect == "messages" else {})
    )


def begun(dialect: str) -> bytes:
    """The beginning of a reply."""
    match dialect:
        case "chat":
            chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "par"}}]}
            return f"data: {json.dumps(chunk)}\n\n".encode()
        case "responses":
            item = {"type": "message", "id": "m", "role": "assistant", "content": []}
            events: list[dict[str, Any]] = [
                {"type": "response.output_item.added", "output_index": 0, "item": item},
                {"type": "response.output_text.delta", "item_id": "m", "delta": "par"},
            ]
        case _:
            block = {"type": "text", "text": ""}
            events = [
                {"type": "message_start", "message": {"id": "m", "usage": {}}},
                {"type": "content_block_start", "index": 0, "content_block": block},
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": "par"},
                },
            ]
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def inside(dialect: str, **error: Any) -> bytes:
    """An error inside a stream."""
    if dialect == "responses":
        failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
        return f"event: response.failed\ndata: {json.dumps(failed)}\n\n".encode()
    told = {"error": error} if dialect == "chat" else {"type": "error", "error": error}
    return f"event: error\ndata: {json.dumps(told)}\n\n".encode()


def counted() -> bytes:
    """llama.cpp sends the numbers beside its message."""
    error = {"code": 500, "message": "the request exceeds the available context size"}
    error |= {"type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}
    return json.dumps({"type": "error", "error": error}).encode()


def flagged() -> bytes:
    """OpenRouter's moderation."""
    about = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "x"}
    error = {"code": 403, "message": "Your input was flagged", "metadata": about}
    return json.dumps({"type": "error", "error": error}).encode()


def cases(dialect: str) -> dict[str, Refusal]:
    made = {
        status: Refusal(int(status), plain(int(status), dialect)) for status in STATUSES.split()
    }
    wait = {"retry-after": "7"}
    limit = {"type": "rate_limit_error", "message": WORDS, "code": "rate_limit_exceeded"}
    busy = {"type": "overloaded_error", "message": WORDS}
    fault = {"type": "api_error", "message": WORDS}
    return {
        **made,
        "429-wait": Refusal(429, plain(429, dialect), wait),
        "429-quota": Refusal(
            429, body(dialect, type="rate_limit_error", code="insufficient_quota")
        ),
        "503-wait": Refusal(503, plain(503, dialect), wait),
        "503-final": Refusal(503, plain(503, dialect), {"x-should-retry": "false"}),
        "400-long": Refusal(400, body(dialect, TOO_LONG)),
        "413-long": Refusal(413, body(dialect, TOO_LONG)),
        "500-long": Refusal(500, counted()),
        "in-long": Refusal(200, inside(dialect, message=TOO_LONG, type="server_error")),
        "403-flagged": Refusal(403, flagged()),
        "403-model": Refusal(403, body(dialect, "Project `p` does not have access to model `m`")),
        "403-region": Refusal(403, body(dialect, "Country, region, or territory not supported")),
        "403-right": Refusal(403, body(dialect, "Missing scopes: model.request")),
        "200-page": Refusal(200, b"<html><title>Please log in</title></html>", PAGE),
        "200-nothing": Refusal(200),
        "204": Refusal(204),
        "unreachable": Refusal(599),
        "404-words": Refusal(
            404,
            body(
                dialect,
                type="not_found_error" if dialect == "messages" else "invalid_request_error",
                code="model_not_found",
                param="model",
            ),
        ),
        "401-key": Refusal(401, body(dialect, f"Incorrect API key provided: {KEY}. See /keys")),
        "400-key": Refusal(400, body(dialect, f"I cannot take {KEY} for a model")),
        "in-429": Refusal(200, inside(dialect, **limit)),
        "in-529": Refusal(200, inside(dialect, **busy)),
        "in-500": Refusal(200, inside(dialect, **fault)),
        "after-529": Refusal(200, begun(dialect) + inside(dialect, **busy)),
    }


TABLE = {f"{d}-{name}": refusal for d in DIALECTS for name, refusal in cases(d).items()}


def config(models: ModelServer) -> str:
    """A configuration with a model `m-<dialect>-<name>` for each, and some agents `a-…` that use them."""
    made = "[server]\n{server}\nheartbeat_seconds = 10\n"
    for name in TABLE:
        made += (
            f'\n[models.m-{name}]\ndialect = "{name.split("-")[0]}"\nmodel = "up"\nretries = 0\n'
        )
        url = NOBODY if name.endswith("unreachable") else models.url
        made += f'base_url = "{url}/{name}"\n'
    for name in ("chat-400-key", "chat-404-words", "messages-429-wait", "responses-401-key"):
        made += f'\n[agents.a-{name}]\nmodel = "m-{name}"\n'
    return made
