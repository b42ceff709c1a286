"""One submission, one run: a request sent twice attaches to the run the first one started.

Two ways to recognise the second: the client's own `Idempotency-Key`; or, since the official SDKs send
none, a request that says it is a retry (`x-stainless-retry-count` above 0) with the same body from the
same owner within a short window. Both memories are durable, so the retry may reach a new process.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import msgspec

from tailrace.errors import RevisionMismatch, Unprocessable
from tailrace.events.versions import Shape
from tailrace.log.contract import Store
from tailrace.runs.accounts import Purse
from tailrace.runs.owner import Owner
from tailrace.runs.settings import RunSettings
from tailrace.runs.writer import Clock

KEYS, RETRIES = "idempotency", "retries"


class Submission(msgspec.Struct, frozen=True):
    """How a request was sent, besides what it asks.

    It may be recognised by its key, `""` without one, by all that makes it itself, and by the client
    saying that it sends it again. `grace` is how many seconds the run goes on when nobody reads it,
    None for as long as it takes; unset, the surface's own rule holds. `purses` pay for the run.
    """

    key: str
    body: bytes
    retry: bool
    grace: float | msgspec.UnsetType | None = msgspec.UNSET
    purses: tuple[Purse, ...] = ()


class _Claim(msgspec.Struct, frozen=True):
    run: str
    fingerprint: str


SHAPE = Shape("claim of a run", _Claim)


class Submissions:
    """Remembers which submission started which run."""

    def __init__(self, store: Store, settings: RunSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def claim(self, submission: Submission, owner: Owner, run: str) -> str | None:
        """Take `run` for this submission; or the run that an equal submission already took.

        Raises `Unprocessable` when the key was used with another body.
        """
        fingerprint = sha256(submission.body).hexdigest()
        if submission.key:
            return await self._by_key(submission.key, owner, _Claim(run, fingerprint))
        if submission.retry:
            earlier = await self._read(*self._place(submission, owner, fingerprint))
            if earlier is not None:
                return earlier.run
        return None

    async def remember(self, submission: Submission, owner: Owner, run: str) -> None:
        """Let a retry without a key find `run`; a key did so when it was claimed.

        Whoever shows the run to a client waits for this: the retry may reach another process, and only
        SQLite keeps records and logs in one order of commits.
        """
        if submission.key:
            return
        fingerprint = sha256(submission.body).hexdigest()
        bucket, name = self._place(submission, owner, fingerprint)
        value = SHAPE.encode(_Claim(run, fingerprint))
        expires = self._clock() + self._settings.retry_window
        await self._store.records.put(bucket, name, value, expires=expires)

    async def retake(self, submission: Submission, owner: Owner, run: str, gone: str) -> bool:
        """Take `run` where the run that was started before, `gone`, is there no more; False when
        somebody else was quicker."""
        fingerprint = sha256(submission.body).hexdigest()
        bucket, name = self._place(submission, owner, fingerprint)
        record = await self._store.records.get(bucket, name)
        if record is None or SHAPE.decode(record.value).run != gone:
            return False
        value = SHAPE.encode(_Claim(run, fingerprint))
        try:
            await self._store.records.put(
                bucket, name, value, revision=record.revision, expires=record.expires
            )
        except RevisionMismatch:
            return False
        return True

    async def release(self, submission: Submission, owner: Owner, run: str) -> None:
        """Give a key back: its run will not be written, and the next who sends it need not wait for that."""
        bucket, name = self._place(submission, owner, "")
        record = await self._store.records.get(bucket, name) if submission.key else None
        if record is None or SHAPE.decode(record.value).run != run:
            return
        with suppress(RevisionMismatch):  # somebody else has it already
            await self._store.records.put(
                bucket, name, record.value, revision=record.revision, expires=1
            )

    def _place(self, submission: Submission, owner: Owner, fingerprint: str) -> tuple[str, str]:
        """The bucket and the key of a submission's record."""
        if submission.key:
            return KEYS, f"{owner.key}:{sha256(submission.key.encode()).hexdigest()}"
        return RETRIES, f"{owner.key}:{fingerprint}"

    async def _by_key(self, key: str, owner: Owner, claim: _Claim) -> str | None:
        name = f"{owner.key}:{sha256(key.encode()).hexdigest()}"
        expires = self._clock() + self._settings.idempotency
        value, revision = SHAPE.encode(claim), 0
        while True:
            with suppress(RevisionMismatch):
                await self._store.records.put(KEYS, name, value, revision=revision, expires=expires)
                return None
            record = await self._store.records.get(KEYS, name)
            if record is None or record.expires < self._clock():
                # By its revision, not by removing it: of two who find it, one takes it.
                revision = 0 if record is None else record.revision
                continue
            earlier = SHAPE.decode(record.value)
            if earlier.fingerprint != claim.fingerprint:
                raise Unprocessable(
                    "This Idempotency-Key was used with a different request.",
                    code="idempotency_key_reused",
                )
            return earlier.run

    async def _read(self, bucket: str, name: str) -> _Claim | None:
        record = await self._store.records.get(bucket, name)
        if record is None or record.expires < self._clock():
            return None
        return SHAPE.decode(record.value)
