"""Every exception tailrace raises, as one tree; each leaf says whose fault it is and what to answer.

    TailraceError
    ├── CallerError            the client's fault; `status` is the HTTP answer
    │   ├── BadRequest         400  malformed, wrong type, impossible combination
    │   ├── Unauthorized       401  no key, or none that counts
    │   ├── Forbidden          403  the key does not allow this
    │   ├── NotFound           404  never existed, or not yours
    │   ├── Conflict           409  the run is in a state that forbids this
    │   ├── Expired            410  existed; its retention is over
    │   ├── TooLarge           413  a body, or a document that is asked for, is over a limit
    │   ├── UnsupportedMedia   415  the body is encoded in a way that nobody reads
    │   ├── Unprocessable      422  understood, and refused on purpose
    │   ├── TooMany            429  a limit of this caller is reached
    │   └── Unavailable        503  this server takes no new runs (it starts, or shuts down)
    ├── ModelFailed            a model server refused, stalled, died or talked rubbish
    │   └── NoForm             it was not asked: its dialect has no form for what was said
    ├── IllegalEvent           an agent yielded an event the grammar forbids
    ├── LogError               the log cannot do what was asked
    │   ├── NotOpen            the store is not open, or not yet
    │   ├── Fenced             a newer attempt owns the run: stop writing
    │   ├── RevisionMismatch   a record changed since it was read
    │   └── Unreadable         stored bytes that no known schema version explains
    │       └── Damaged        they are not what was written: the disk has changed them
    ├── Malformed              a recording that is none, from a certain byte on
    └── ConfigError            the operator's fault; one message, exit status 2

Surfaces turn a `CallerError` into their own error body; nothing else of an exception reaches a client.
"""

from __future__ import annotations

from typing import Any


class TailraceError(Exception):
    """Base of every exception tailrace raises on purpose."""


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
    """Nobody this server knows."""

    status = 401


class NotFound(CallerError):
    """No such model, agent, run, response or item for this principal."""

    status = 404


class Conflict(CallerError):
    """The run exists, but its state forbids what was asked."""

    status = 409


class Expired(CallerError):
    """The run existed and its retention is over."""

    status = 410


class Forbidden(CallerError):
    """Nobody allowed this client to do this."""

    status = 403


class TooLarge(CallerError):
    """The request body, or the document that is asked for, is over the configured limit."""

    status = 413


class UnsupportedMedia(CallerError):
    """The request body is encoded in a way that nobody here reads."""

    status = 415


class Unprocessable(CallerError):
    """Well-formed, but tailrace refuses this on purpose (for example `n` above 1)."""

    status = 422


class TooMany(CallerError):
    """A limit of this caller is reached; `retry_after` says in how many seconds there is room again."""

    status = 429
    kind = "rate_limit_error"

    def __init__(self, message: str, *, retry_after: float, code: str) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class Unavailable(CallerError):
    """The server starts or shuts down and takes no new runs, or cannot write."""

    status = 503
    kind = "server_error"


class ModelFailed(TailraceError):
    """A model server did not give a usable reply.

    `code` is the server's own word for why, else one of ours (`server_error`, `rate_limit_exceeded`, …);
    `param` and `error_type` are its own words where a server of `dialect` said so itself. `status` is the
    HTTP status that it answered with, or that its words stand for; 0 when there was none. `retry_after` is
    in how many seconds it wants to be asked again. `retryable` is true only while nothing of the reply has
    been seen. `final`: the server says that to ask again is no use, whatever the status. `public` says the
    same as the message without a word of the server's, for those who did not write the request (an agent's
    clients); empty where `message` is ours already. `detail` is what the server said where no client may hear
    it: it goes to the operator's log.
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
        """The same failure, some of it told otherwise."""
        return type(self)(**{**vars(self), **changes})


class NoForm(ModelFailed):
    """What a client said has no form in the dialect of its model server; the client hears 400. `param` is the
    field of the request; of what stands in a conversation only the list's name, and `item`, `part` and
    `field` are what of it cannot be told. The surface finds out where it put that."""

    def __init__(
        self, message: str, *, item: Any = None, part: Any = None, field: str = "", **told: Any
    ) -> None:
        known: dict[str, Any] = {"code": "invalid_prompt", "status": 400}
        super().__init__(message, **known | told)
        self.item = item
        self.part = part
        self.field = field

    def about(self, *, item: Any = None, part: Any = None) -> NoForm:
        """The same, of an item or a part of one, where it is not known yet of which."""
        self.item = item if self.item is None else self.item
        self.part = part if self.part is None else self.part
        return self


class Undecodable(ModelFailed):
    """What came is no event of its dialect."""


class CutShort(ModelFailed):
    """The reply ended, and was not whole: nobody reported a failure."""


class NoReply(ModelFailed):
    """What came is no reply of a model at all: nothing, a page, a text. It is asked for once more at most."""


class Malformed(TailraceError):
    """A recorded stream is not what it is said to be; `offset` is the first byte that is not."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"byte {offset}: {message}")
        self.offset = offset


class ToolSourceFailed(TailraceError):
    """A server that offers tools cannot be reached, or offers what cannot be used.

    `why` is in the words of a library or of the system; it is for the log, not for clients and models.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(f"{message}: {why}" if why else message)
        self.message = message
        self.why = why


class LimitReached(TailraceError):
    """A run came to one of its limits; `reason` is the run's reason for being incomplete."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IllegalEvent(TailraceError):
    """An event that the grammar does not allow in the run's present state."""


class LogError(TailraceError):
    """The log cannot do what was asked."""


class NotOpen(LogError):
    """The store is not open: the server starts, or has stopped."""


class Fenced(LogError):
    """A newer attempt owns the run, or the log has moved on: the writer must stop."""


class RevisionMismatch(LogError):
    """A record's revision is not the expected one; read again and decide again."""


class Unreadable(LogError):
    """Stored bytes that no known schema version explains."""


class Damaged(Unreadable):
    """What is stored is not what was written. The message names the run, and a client may read it."""


class ConfigError(TailraceError):
    """The configuration cannot be used; the message names file, place and nearest valid name."""
