"""The authenticated caller of an operation on runs, and how its request was sent.

Each transport makes one for a request and passes it down; nothing below a transport sees the request itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from tailrace.auth.limits import Account
from tailrace.errors import BadRequest
from tailrace.events.answers import Answer
from tailrace.runs.accounts import Purse
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Sent, Submission, remembered

GRACE = "x-disconnect-grace"
"""On a request that starts a run: how many seconds it goes on when nobody reads it, or `forever`."""

MOST_GRACE = 86_400


class Delivery(Struct, frozen=True):
    """How a request was sent, besides what it asks: to which `path`, with which idempotency `key` (`""`
    without one), whether the client says that it sends it again, and the text of its `GRACE` parameter."""

    path: str = ""
    key: str = ""
    retry: bool = False
    grace: str | None = None


async def _always() -> bool:
    return True


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


def _unheard(_run: str, _answer: Answer) -> None:
    pass


class Caller(Struct, frozen=True):
    """The authenticated caller. `owner` is whose runs it may see: its user's, or all of the tenant's where it
    names no user or is an admin. `maker` owns what it makes, and the names it gives, also where that is an
    admin. `accounts` have the limits that hold.

    `valid` says whether its key still counts, asked while it reads a stream; `left` returns when it is gone;
    `decides` is told each answer that it gives to a run, before the run is (the audit log).
    """

    owner: Owner
    maker: Owner
    accounts: Sequence[Account] = ()
    delivery: Delivery = Delivery()
    valid: Callable[[], Awaitable[bool]] = _always
    left: Callable[[], Awaitable[None]] = _never
    decides: Callable[[str, Answer], None] = _unheard

    def submission(self, body: bytes, key: str = "") -> Submission:
        """How a request was sent, to be recognised when it comes again. `key` stands for the client's
        idempotency key on a surface whose requests name their runs. Raises `BadRequest`."""
        return Submission(
            key=key or self.delivery.key,
            body=body,
            retry=self.delivery.retry,
            grace=_grace(self.delivery.grace),
            purses=purses(self.accounts),
            path=self.delivery.path,
        )

    async def sent(self, body: bytes) -> Sent | None:
        """The submission as it is remembered, None for one that is no repetition. Raises `BadRequest`."""
        submission = self.submission(body)
        return await remembered(submission, self.maker) if submission.repeats else None


def purses(accounts: Sequence[Account]) -> tuple[Purse, ...]:
    """The accounts that have a limit on runs or on what they spend."""
    found = (
        Purse(
            account.key,
            account.limits.concurrent_runs,
            account.limits.tokens_per_day,
            account.limits.cost_per_day,
        )
        for account in accounts
    )
    return tuple(purse for purse in found if purse != Purse(purse.key))


def _grace(text: str | None) -> float | msgspec.UnsetType | None:
    """What the `GRACE` parameter asks for."""
    if text is None:
        return msgspec.UNSET
    if text == "forever":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MOST_GRACE:
        raise BadRequest(
            f"{GRACE} must be 'forever' or whole seconds up to {MOST_GRACE}.", param=GRACE
        )
    return float(text)
