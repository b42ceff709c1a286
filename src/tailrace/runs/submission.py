"""One submission, one run: a request that is sent twice attaches to the run that the first one started.

A repetition is recognised in two ways: by the client's own `Idempotency-Key`; or, since the official SDKs
send none, by a retry mark (`x-stainless-retry-count` above 0) with the same body from the same owner within
a short window. Both are stored durably, so the retry may reach a new process.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256

import msgspec

from tailrace.errors import RevisionMismatch, Unprocessable
from tailrace.events.versions import Shape
from tailrace.log.contract import Change, Record, Store, Value
from tailrace.runs.accounts import Budget
from tailrace.runs.owner import Owner
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import Clock

KEYS, RETRIES = "idempotency", "retries"
LARGE_BYTES = 262_144
"""Size above which a body is hashed in a thread: 0.2 ms, about the cost of the thread (measured)."""
RELEASE_EXPIRY = 1
"""The expiry of an invalid claim. All others are valid until the sweeper removes them: it knows when the
clock can be trusted (`sweeping.py`)."""


class Submission(msgspec.Struct, frozen=True):
    """How a request was sent.

    A repetition is recognised by its key (`""` without one), or by path and body if the client marks it as a
    retry. `grace`: seconds for which the run continues without a reader, None for no limit; unset, the
    surface's rule applies. `budgets`: those that the run is counted in.
    """

    key: str
    body: bytes
    retry: bool
    grace: float | msgspec.UnsetType | None = msgspec.UNSET
    budgets: tuple[Budget, ...] = ()
    path: str = ""

    @property
    def repeats(self) -> bool:
        """Whether this may be a repetition."""
        return self.key != "" or self.retry

    def fingerprint(self) -> str:
        """The digest that equal submissions share. Takes about 1 ms for each MB, and copies nothing."""
        digest = sha256(self.path.encode() + b"\n")
        digest.update(self.body)
        return digest.hexdigest()


class SubmissionClaim(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run that a submission started, or with `answers` continued; `fingerprint` is that of its body. `by`
    is the process that starts the run, in a cluster."""

    run: str
    fingerprint: str
    answers: bool = False
    by: str = ""


class SubmissionKey(msgspec.Struct, frozen=True):
    """A submission of an owner as stored: the key of its record, and its fingerprint."""

    bucket: str
    name: str
    fingerprint: str
    repeats: bool

    @property
    def has_key(self) -> bool:
        """Whether it has an idempotency key."""
        return self.bucket == KEYS

    @classmethod
    def of(cls, submission: Submission, owner: Owner) -> SubmissionKey:
        """Equal submissions have the same record. `repeats`: this may be a repetition."""
        fingerprint = submission.fingerprint()
        if submission.key:
            key = sha256(submission.key.encode("utf-8", "surrogateescape")).hexdigest()
            return cls(KEYS, f"{owner.key}:{key}", fingerprint, repeats=True)
        return cls(RETRIES, f"{owner.key}:{fingerprint}", fingerprint, submission.retry)


async def submission_key(submission: Submission, owner: Owner) -> SubmissionKey:
    """A submission as it is remembered. A large body is hashed in a thread and does not hold the event loop.

    The first of two equal requests of an SDK has no key and no mark: a later retry finds it by its hash
    alone, so each request that starts a run is hashed.
    """
    if len(submission.body) < LARGE_BYTES:
        return SubmissionKey.of(submission, owner)
    return await asyncio.to_thread(SubmissionKey.of, submission, owner)


SHAPE = Shape("claim of a run", SubmissionClaim)


class Submissions:
    """Stores which submission started which run."""

    def __init__(self, store: Store, settings: RunSettings, clock: Clock, by: str) -> None:
        """`by` is this process's name in claims."""
        self._by = by
        self._store = store
        self._settings = settings
        self._clock = clock

    async def find(self, key: SubmissionKey) -> SubmissionClaim | None:
        """The claim of an equal submission; None if there is none.

        Raises `Unprocessable` when the key was used with another body.
        """
        if not key.repeats:
            return None
        record = await self._store.records.get(key.bucket, key.name)
        if record is None or record.expires == RELEASE_EXPIRY:
            return None
        claim = decode(record)
        if claim.fingerprint != key.fingerprint:
            raise Unprocessable(
                "This Idempotency-Key was used with a different request.",
                code="idempotency_key_reused",
            )
        return claim

    def claim(
        self, key: SubmissionKey, run: str, *, replaced_run: str = "", answers: bool = False
    ) -> Change:
        """The change that makes the record of a submission name `run`.

        `replaced_run` is a run that the record named before and that no longer exists. The change refuses
        (`RevisionMismatch`) if another process has claimed the key."""
        lasts = self._settings.idempotency if key.has_key else self._settings.retry_window
        claim = SHAPE.encode(SubmissionClaim(run, key.fingerprint, answers, self._by))
        value = Value(claim, self._clock() + lasts)

        def apply(record: Record | None) -> Value:
            stands = key.has_key and record is not None and record.expires != RELEASE_EXPIRY
            if stands and record is not None and decode(record).run not in (run, replaced_run):
                raise RevisionMismatch(f"{key.name} is taken")
            return value

        return Change(key.bucket, key.name, apply, fresh=not replaced_run)

    async def release(self, key: SubmissionKey, run: str) -> None:
        """Release a key: its run will not be written, and the next request with the key need not wait for
        it."""
        if not key.has_key:
            return

        def apply(record: Record | None) -> Value | None:
            mine = record is not None and decode(record).run == run
            return Value(record.value, RELEASE_EXPIRY) if record is not None and mine else None

        await self._store.records.change(Change(key.bucket, key.name, apply))


def decode(record: Record) -> SubmissionClaim:
    """A stored claim. Raises `Unreadable`."""
    return SHAPE.decode(record.value)
