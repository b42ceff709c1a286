"""A model server's error, in any of the usual shapes, as a `ModelFailed`. Pure.

The shapes are OpenAI's and Anthropic's objects, those of vLLM (`object: error`, a number for a code),
llama.cpp, TGI, Ollama (`error` is a text), FastAPI (`detail`), Azure (`innererror`), Google (`status`,
`details`, a list of one), AWS (`__type`), OpenRouter, and pages and texts. The status is the HTTP status of
the response; inside a reply it is derived from codes and types (`error_words.py`), and 500 for a failure of
servers behind the server: the client has one server to deal with. Codes and texts take precedence over a
less specific status: a prompt that is too long is 400 although llama.cpp sends 500, and a proxy's 502
becomes the status of the error in it. For a fault of the operator the client gets a sentence of ours
(`operators_faults.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from tailrace.errors import ModelFailed
from tailrace.events.items import Json
from tailrace.protocols import overflow
from tailrace.protocols.error_words import CONTENT, QUOTA, VAGUE, bare, status_of
from tailrace.protocols.fields import Object, any_object
from tailrace.protocols.operators_faults import OPERATORS, fault, meaning
from tailrace.protocols.secrets import scrub

MAX_MESSAGE = 500
"""Maximum length of a server's message for clients, in characters."""
LONGEST_WORD = 64
LONGEST_PARAM = 200
LONGEST_WAIT = 7 * 86_400.0

RETRYABLE = frozenset({408, 409, 425, 429})
NEVER_RETRYABLE = frozenset({501, 505})
NEVER_TOO_LONG = frozenset({401, 402, 403, 407, 408, 409, 425, 429})
"""Statuses with which a text like "too many tokens" is not about the length of a prompt."""

CODES: Mapping[int, str] = {
    404: "not_found",
    409: "conflict",
    410: "not_found",
    429: "rate_limit_exceeded",
    499: "request_cancelled",
    529: "overloaded_error",
}
"""Our codes by status, for errors without a code; else `invalid_prompt` or `server_error`."""

_WORD = re.compile(r"[\w./:#-]+")
_MODERATION = re.compile(
    r"requires moderation|\bflagged\b|content (?:policy|filter)|usage (?:guidelines|polic)|prompt injection"
    r"|blocked by .{0,40}(?:guardrail|polic|filter)|violates? .{0,40}(?:guidelines|polic)",
    re.IGNORECASE,
)
"""Texts of a 403 about the content of the request (OpenRouter, xAI and its guardrails)."""
_DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


def server_failure(message: str, details: Json = None, status: int = 0) -> ModelFailed:
    """The failure that a server reports: its message, its error object, and the HTTP status of the
    response; 0 inside a reply."""
    fields, around = _innermost(details)
    message = message.strip()[: 2 * MAX_MESSAGE]
    http_status = _status(fields, around, message, status)
    words = scrub(message)[:MAX_MESSAGE]
    own = _word(fields.get("code"))
    kind = _word(fields.get("type")) or _word(fields.get("error_type")) or _aws(fields)
    if http_status in OPERATORS or 300 <= http_status < 400:
        wrong = fault(http_status, message, own, kind)
        return _private_failure(wrong.message.format(http_status), wrong.code, http_status, words)
    if bare(own).endswith("error") and status_of(own):
        own, kind = "", kind or own  # DeepSeek sends a type as the code
    prefix = (
        f"The model server answered {status}" if status else "The model server reported an error"
    )
    if (status, http_status) == (403, 404):  # the text names the operator's project
        text = f"{prefix}: it has no such model for this server."
        return _private_failure(text, "model_not_found", http_status, words)
    if http_status == 400:
        own, words = _refine(own, kind, fields, words, status)
    code = own or _ours(http_status, kind)
    return ModelFailed(
        (f"{prefix}: {words}" if status and words else words) or f"{prefix}.",
        code=code,
        status=http_status,
        retryable=retryable(http_status, code, kind),
        param=_param(fields),
        error_type="" if kind == "error" else kind,
        retry_after=_retry_delay(fields),
        public=f"{prefix} ({code})." if own else f"{prefix}.",
    )


def _refine(own: str, kind: str, fields: Object, words: str, status: int) -> tuple[str, str]:
    """The code and the message of a refused request, where those of the server are less specific than our
    knowledge."""
    if _is_moderated(fields, words, status):
        return (own or "content_filter"), words
    if _too_long(_names(own, kind), words):
        return overflow.CODE, overflow.with_counts(words, fields)
    return own, words


def retryable(status: int, code: str = "", kind: str = "") -> bool:
    """Whether the same request may succeed later."""
    if {bare(code), bare(kind)} & QUOTA:
        return False
    return status in RETRYABLE or (status >= 500 and status not in NEVER_RETRYABLE)


def _private_failure(message: str, code: str, status: int, words: str) -> ModelFailed:
    """A failure with a sentence of ours; the server's text goes to the operator only."""
    detail = f"answered {status}: {words}"
    return ModelFailed(message, code=code, status=status, detail=detail, public=message)


def _status(fields: Object, around: Object, message: str, status: int) -> int:
    """The HTTP status of a failure: that of its codes and types, where its own is less specific."""
    candidates = [
        fields.get(name) for name in ("code", "type", "error_type", "status", "http_code")
    ]
    candidates += [around.get(name) for name in ("code", "status", "statusCode", "status_code")]
    candidates.append(fields.get("__type"))
    word = next((word for word in candidates if status_of(word)), None)
    word_status = status_of(word)
    names = _names(*candidates, any_object(fields.get("innererror")).get("code"))
    if names & CONTENT or _is_moderated(fields, message, status):
        return 400
    if (
        status not in NEVER_TOO_LONG
        and word_status not in NEVER_TOO_LONG
        and _too_long(names, message)
    ):
        return 400
    if fault_status := meaning(status, message, names):
        return fault_status
    if status in (0, 400) and (word_status == 401 or _reason(fields) == "API_KEY_INVALID"):
        return 401
    if not status:
        return 500 if word_status >= 500 and word_status not in (503, 529) else word_status or 500
    if status == 400 and word_status and _aws(fields):
        return word_status  # AWS sends all of its exceptions with this status
    if status == 403 and word_status in (402, 404, 429):
        return word_status
    if status in (500, 502) and 400 <= word_status < 500 and bare(str(word)) not in VAGUE:
        return word_status  # the status is a proxy's, the code that of the server behind it
    if status in (500, 502, 503) and word_status in (503, 529):
        return word_status
    return status


def _names(*words: Json) -> frozenset[str]:
    return frozenset(bare(word) for word in words if isinstance(word, str))


def _too_long(names: frozenset[str], message: str) -> bool:
    return bool(names & overflow.WORDS) or overflow.says_too_long(message)


def _is_moderated(fields: Object, message: str, status: int) -> bool:
    """Whether a 403 is about the content of the request: OpenRouter adds metadata then."""
    about = any_object(fields.get("metadata"))
    if about.get("reasons") or about.get("flagged_input"):
        return True
    return status == 403 and _MODERATION.search(message) is not None


def _ours(status: int, kind: str) -> str:
    """Our code for a failure."""
    if status in CODES:
        return CODES[status]
    if status == 503 and status_of(kind) == 529:
        return CODES[529]
    return "invalid_prompt" if 400 <= status < 500 and status not in RETRYABLE else "server_error"


def _innermost(details: Json) -> tuple[Object, Object]:
    """The error object, and the object around it."""
    around: Object = {}
    for _ in range(4):
        if isinstance(details, list):
            details = next(iter(cast("list[Json]", details)), None)
        fields = any_object(details)
        inner = fields.get("error") or fields.get("errors")
        if not isinstance(inner, dict | list) or not inner:
            return fields, around
        around, details = fields, cast("Json", inner)
    return any_object(details), around


def _word(value: Json) -> str:
    """A code or a type as text; a number adds nothing to the status."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_WORD or value.isdigit():
        return ""
    return scrub(value) if _WORD.fullmatch(value) else ""


def _aws(fields: Object) -> str:
    return _word(str(fields.get("__type") or "").rpartition("#")[2])


def _param(fields: Object) -> str:
    """The field at fault: `param`, or the location that FastAPI gives."""
    param = fields.get("param")
    details = fields.get("detail")
    if not isinstance(param, str) and isinstance(details, list):
        place = any_object(next(iter(cast("list[Json]", details)), None)).get("loc")
        if isinstance(place, list):
            steps = [str(step) for step in cast("list[Json]", place) if step != "body"]
            param = ".".join(steps)
    return scrub(param[:LONGEST_PARAM]) if isinstance(param, str) else ""


def _details(fields: Object) -> list[Object]:
    entries = fields.get("details")
    return (
        [any_object(each) for each in cast("list[Json]", entries)]
        if isinstance(entries, list)
        else []
    )


def _reason(fields: Object) -> Json:
    return next((each["reason"] for each in _details(fields) if each.get("reason")), None)


def _retry_delay(fields: Object) -> float | None:
    """Google puts the delay before a retry into its error: `"retryDelay": "34s"`; others send a number."""
    for each in (*_details(fields), fields):
        for name in ("retryDelay", "retry_after"):
            value = each.get(name)
            if isinstance(value, str) and (delay := _DELAY.fullmatch(value)):
                return min(float(delay[1]), LONGEST_WAIT)
            if (
                isinstance(value, (int, float))
                and not isinstance(value, bool)
                and 0 <= value <= LONGEST_WAIT
            ):
                return float(value)
    return None
