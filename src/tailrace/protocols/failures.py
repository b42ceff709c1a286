"""How a client receives an error: the HTTP status, and OpenAI's or Anthropic's form of it. Pure.

For a failed run one table by the model server's status decides (PROTOCOLS.md has it in full, by surface, and
a test compares them): an error that the client can correct stays a client error (4xx), a temporary one stays
temporary (408, 409, 429, 5xx), and one that only the operator can correct is 502 with the advice not to
retry. Messages of a server of the surface's own family are kept; those of another are translated. The native
surface has the form of OpenAI's servers.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from tailrace.errors import CallerError
from tailrace.events.types import RunFailed
from tailrace.protocols.error_words import QUOTA, bare, status_of
from tailrace.protocols.operators_faults import CODES, OPERATORS
from tailrace.protocols.upstream_errors import NEVER_RETRYABLE

OPENAI = frozenset({"chat", "responses"})
"""Dialects whose errors have OpenAI's form."""

PASSTHROUGH = frozenset({400, 404, 408, 409, 410, 413, 422, 429, 499, 500, 502, 503, 504, 529})
"""Statuses of model servers that clients receive unchanged."""
OTHER_STATUSES: Mapping[int, int] = {425: 503, 522: 504, 524: 504, **dict.fromkeys(OPERATORS, 502)}
"""Other statuses of model servers, each with the status that clients receive."""
NEVER_RETRIED = QUOTA | frozenset(map(bare, CODES))
"""Codes for which a retry is useless, whatever the status; also ours, from another tailrace upstream."""
BUSY = "server_is_overloaded"
"""OpenAI's code for Anthropic's `overloaded_error`; Codex knows it."""


class OpenAIError(Struct, frozen=True):
    """A failure in OpenAI's form. `again` is false if a retry is useless."""

    status: int
    type: str
    code: str
    param: str
    message: str
    retry_after: float | None
    again: bool


def status(end: RunFailed) -> int:
    """The HTTP status of a run that failed before the reply began."""
    code = end.status or status_of(end.code) or 500
    if code in PASSTHROUGH:
        return code
    if code in OTHER_STATUSES:
        return OTHER_STATUSES[code]
    if 400 <= code < 500:
        return 400
    return 502 if code < 400 or code >= 520 else 500


def again(end: RunFailed) -> bool:
    """Whether a retry may help. The SDKs decide by the status alone, unless a header says otherwise."""
    code = end.status or status_of(end.code)
    mends_itself = code not in OPERATORS and code not in NEVER_RETRYABLE and not 300 <= code < 400
    return (
        mends_itself
        and not end.final
        and not {bare(end.code), bare(end.error_type)} & NEVER_RETRIED
    )


def openai(end: RunFailed) -> OpenAIError:
    """A failure in OpenAI's form: Anthropic's 529 is their 503."""
    own = end.dialect in OPENAI
    http_status = status(end)
    code = BUSY if end.code == "overloaded_error" else end.code
    http_status = 503 if http_status == 529 else http_status
    fits = (status_of(end.error_type) >= 500) == (http_status >= 500) or not status_of(
        end.error_type
    )
    kind = end.error_type if own and end.error_type and fits else _type(http_status)
    return OpenAIError(http_status, kind, code, end.param, end.message, end.retry_after, again(end))


def error(failure: OpenAIError) -> dict[str, object]:
    """OpenAI's error object, as in a body and in a stream."""
    fields: dict[str, object] = {
        "message": failure.message,
        "type": failure.type,
        "param": failure.param or None,
        "code": failure.code,
    }
    return fields if failure.retry_after is None else {**fields, "retry_after": failure.retry_after}


def _type(http_status: int) -> str:
    if http_status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if http_status < 500 and http_status != 408 else "server_error"


def error_body(error: CallerError, _: str = "") -> bytes:
    """`{"error": {message, type, param, code}}`; the request's id is not part of it."""
    detail = {
        "message": error.message,
        "type": error.kind,
        "param": error.param or None,
        "code": error.code or None,
    }
    return msgspec.json.encode({"error": detail})
