"""The authenticated caller of an operation on runs, and how its request was sent.

Each transport makes one for each request and passes it down; no code below a transport sees the request
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from tailrace.auth.limits import Account
from tailrace.errors import BadRequest
from tailrace.events.answers import Answer
from tailrace.events.request import LOCAL_CALLER, RunCaller
from tailrace.runs.accounts import Budget
from tailrace.runs.owner import Owner
from tailrace.runs.submission import Submission, SubmissionKey, submission_key

GRACE = "x-disconnect-grace"
"""On a request that starts a run: for how many seconds the run continues without a reader, or `forever`."""

MAX_GRACE = 86_400


class Delivery(Struct, frozen=True):
    """How a request was sent: to which `path`, with which idempotency `key` (`""` without one), whether the
    client marks it as a retry, and the text of its `GRACE` parameter."""

    path: str = ""
    key: str = ""
    retry: bool = False
    grace: str | None = None


async def _always() -> bool:
    return True


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


def _no_audit(_run: str, _answer: Answer) -> None:
    pass


class Caller(Struct, frozen=True):
    """The authenticated caller. It may see the runs of `owner`: its user's, or all of the tenant's for an
    admin or a key without a user. `maker` owns what it creates, and the names that it gives, for an admin
    too. `accounts` have the limits that apply. `name` is its user, or the id of its token without one: events
    of the log name it. `identity` and `headers` are stored with the runs that it starts.

    `is_valid`: whether its key is still valid, checked while it reads a stream. `wait_for_disconnect` returns
    when the client has left. `record_answer` receives each answer that it gives to a run, before the run does
    (audit log).
    """

    owner: Owner
    maker: Owner
    accounts: Sequence[Account] = ()
    name: str = ""
    identity: RunCaller = LOCAL_CALLER
    headers: dict[str, str] = {}
    delivery: Delivery = Delivery()
    is_valid: Callable[[], Awaitable[bool]] = _always
    wait_for_disconnect: Callable[[], Awaitable[None]] = _never
    record_answer: Callable[[str, Answer], None] = _no_audit

    def submission(self, body: bytes, key: str = "") -> Submission:
        """The fields by which a repeated request is recognised. `key` replaces the client's idempotency key
        on a surface whose requests name their runs. Raises `BadRequest`."""
        return Submission(
            key=key or self.delivery.key,
            body=body,
            retry=self.delivery.retry,
            grace=_grace(self.delivery.grace),
            budgets=budgets(self.accounts),
            path=self.delivery.path,
        )

    async def repeatable_submission(self, body: bytes) -> SubmissionKey | None:
        """The submission as it is stored, None for one that is not to be recognised. Raises `BadRequest`."""
        submission = self.submission(body)
        return await submission_key(submission, self.maker) if submission.repeats else None


def budgets(accounts: Sequence[Account]) -> tuple[Budget, ...]:
    """The budgets of the accounts that limit concurrent runs or spending."""
    all_budgets = (
        Budget(
            account.key,
            account.limits.concurrent_runs,
            account.limits.tokens_per_day,
            account.limits.cost_per_day,
        )
        for account in accounts
    )
    return tuple(budget for budget in all_budgets if budget != Budget(budget.key))


def _grace(text: str | None) -> float | msgspec.UnsetType | None:
    """The value of the `GRACE` parameter, in seconds; None for `forever`."""
    if text is None:
        return msgspec.UNSET
    if text == "forever":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > MAX_GRACE:
        raise BadRequest(
            f"{GRACE} must be 'forever' or whole seconds up to {MAX_GRACE}.", param=GRACE
        )
    return float(text)
