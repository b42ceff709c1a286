"""Every exception that tailrace raises, as one tree, by whose fault it is; with the HTTP status where there
is one.

    TailraceError
    ├── CallerError            the client's fault; `status` is the HTTP status
    │   ├── BadRequest         400  malformed, wrong type, impossible combination
    │   ├── Unauthorized       401  missing or invalid credentials
    │   ├── Forbidden          403  the key does not allow this
    │   ├── NotFound           404  never existed, or belongs to another owner
    │   ├── Conflict           409  the run's state does not allow this
    │   ├── Expired            410  existed; its retention is over
    │   ├── TooLarge           413  a body, or the requested document, is over a limit
    │   ├── UnsupportedMedia   415  the content encoding of the body is not supported
    │   ├── Unprocessable      422  valid, but not supported
    │   ├── TooMany            429  a rate limit of this caller is exceeded
    │   └── Unavailable        503  the server starts, shuts down or cannot write
    ├── ModelFailed            a model server refused, stalled, died or sent an invalid reply
    │   └── NoForm             it was not called: its dialect has no form for some content
    ├── IllegalEvent           an agent yielded an event the grammar forbids
    ├── LogError               the log cannot do an operation
    │   ├── NotOpen            the store is not open
    │   ├── Fenced             a newer attempt owns the run; this writer must stop
    │   ├── RevisionMismatch   a record was changed since it was read
    │   └── Unreadable         stored bytes of no known schema version
    │       └── Damaged        they differ from the written ones: the disk has changed them
    ├── Malformed              an invalid recorded stream, with the offset of the first invalid byte
    └── ConfigError            the operator's fault; one message, exit status 2

Surfaces turn a `CallerError` into their own error body; nothing else of an exception reaches a client.
"""

from __future__ import annotations

from typing import Any


class TailraceError(Exception):
    """Base of every exception that tailrace raises on purpose."""


class CallerError(TailraceError):
    """The request cannot be served as sent.

    `param` names the offending field in the surface's own words (`input[2].content`), `code` is the
    machine-readable reason OpenAI uses where it has one (`model_not_found`), else `""`.
    """

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class BadRequest(CallerError):
    """Malformed JSON, a wrong type, or parameters that exclude each other."""


class Unauthorized(CallerError):
    """Missing or invalid credentials."""

    status = 401


class NotFound(CallerError):
    """No such model, agent, run, response or item for this principal."""

    status = 404


class Conflict(CallerError):
    """The run exists, but its state does not allow the operation."""

    status = 409


class Expired(CallerError):
    """The run existed, and its retention time is over."""

    status = 410


class Forbidden(CallerError):
    """The caller is authenticated, and not allowed to do this."""

    status = 403


class TooLarge(CallerError):
    """The request body, or the requested document, is over the configured limit."""

    status = 413


class UnsupportedMedia(CallerError):
    """The content encoding of the request body is not supported."""

    status = 415


class Unprocessable(CallerError):
    """A valid request that tailrace does not support (for example `n` above 1)."""

    status = 422


class TooMany(CallerError):
    """A rate limit of this caller is exceeded; `retry_after` is the number of seconds after which to
    retry."""

    status = 429
    kind = "rate_limit_error"

    def __init__(self, message: str, *, retry_after: float, code: str) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(CallerError):
    """The server starts, shuts down, or cannot write to its store."""

    status = 503
    kind = "server_error"


class ModelFailed(TailraceError):
    """A model server did not give a usable reply.

    `code` is the server's own error code, else one of ours (`server_error`, `rate_limit_exceeded`, …);
    `param` and `error_type` are the server's own values, in `dialect`. `status` is its HTTP status, or the
    one that its error body stands for; 0 if there is none. `retry_after`: seconds after which to retry.
    `retryable`: true only before anything of the reply was delivered. `final`: the server says that a retry
    is useless, whatever the status. `public`: the message without any text of the server, for clients that
    did not write the request (those of an agent); `""` if `message` has none. `detail`: text of the server
    that no client may see, for the log.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "server_error",
        status: int = 0,
        retryable: bool = False,
        param: str = "",
        dialect: str = "",
        error_type: str = "",
        retry_after: float | None = None,
        final: bool = False,
        public: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retryable = retryable
        self.param = param
        self.dialect = dialect
        self.error_type = error_type
        self.retry_after = retry_after
        self.final = final
        self.public = public
        self.detail = detail

    def but(self, **changes: Any) -> ModelFailed:
        """The same failure with other fields."""
        return type(self)(**{**vars(self), **changes})


class NoForm(ModelFailed):
    """The dialect of the model server has no form for some content of a request; the client gets 400. `param`
    is the field of the request. For content of a conversation it is only the list's name; `item`, `part` and
    `field` say which content, and the surface finds its place in the client's request."""

    def __init__(
        self, message: str, *, item: Any = None, part: Any = None, field: str = "", **failure: Any
    ) -> None:
        defaults: dict[str, Any] = {"code": "invalid_prompt", "status": 400}
        super().__init__(message, **defaults | failure)
        self.item = item
        self.part = part
        self.field = field

    def about(self, *, item: Any = None, part: Any = None) -> NoForm:
        """Add the item or the part that is meant, if none is set yet."""
        self.item = item if self.item is None else self.item
        self.part = part if self.part is None else self.part
        return self


class Undecodable(ModelFailed):
    """The server sent an event that its dialect does not have."""


class CutShort(ModelFailed):
    """The reply ended without being complete, and without an error."""


class NoReply(ModelFailed):
    """The server sent no reply of a model at all: nothing, an HTML page, text. It is retried once at most."""


class Malformed(TailraceError):
    """A recorded stream is invalid; `offset` is the place of the first invalid byte."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"byte {offset}: {message}")
        self.offset = offset


class ToolSourceFailed(TailraceError):
    """A tool server cannot be reached, or its tools cannot be used. `why` is the error of a library or the
    system; it is for the log, not for clients and models."""

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(f"{message}: {why}" if why else message)
        self.message = message
        self.why = why


class LimitReached(TailraceError):
    """A run has reached a limit; `reason` is the reason of `run.incomplete`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IllegalEvent(TailraceError):
    """An event that the grammar does not allow in the run's current state."""


class LogError(TailraceError):
    """The log cannot do an operation."""


class NotOpen(LogError):
    """The store is not open: the server starts, or has stopped."""


class Fenced(LogError):
    """A newer attempt owns the run, or the log has moved on: the writer must stop."""


class RevisionMismatch(LogError):
    """A record's revision is not the expected one; read it again and decide again."""


class Unreadable(LogError):
    """Stored bytes of no known schema version."""


class Damaged(Unreadable):
    """Stored bytes differ from the written ones. The message names the run, and clients may see it."""


class ConfigError(TailraceError):
    """The configuration cannot be used; the message has the file, the place and the nearest valid name."""
