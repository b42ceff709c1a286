"""API tokens: shown once, stored as a hash.

A token is `oat_` and 256 random bits. Its owner and scopes are stored under its SHA-256. A hash of 256 random
bits needs no salt, and it is found by one exact lookup, whose time does not depend on how similar a wrong
token is.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence

import msgspec

from tailrace.auth.principal import SCOPES, Principal, Scope, fault_of
from tailrace.errors import NotFound
from tailrace.events.versions import Shape
from tailrace.log.contract import Record, Records

BUCKET = "tokens"
PREFIX = "oat_"
MOST_SECRETS = 2_000
"""Milliseconds for which a looked-up token is cached: a revoked one may still work for this time."""
MOST_TOKENS = 4_096
"""Maximum number of cached tokens, including invalid ones."""


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored data of a token. Times in milliseconds since the epoch; `expires` 0 for never. `limits`
    are its own, by the names of `Limits`."""

    id: str
    name: str
    tenant: str
    user: str = ""
    scopes: tuple[Scope, ...] = SCOPES
    created: int = 0
    expires: int = 0
    revoked_at: int = msgspec.field(default=0, name="revoked")
    limits: dict[str, int | float] = {}

    def principal(self) -> Principal:
        """The principal of this token."""
        scopes = frozenset(self.scopes)
        return Principal(self.tenant, self.user, scopes, self.id, self.limits)

    def stands(self, now: int) -> bool:
        """Whether it has an owner, and is neither revoked nor expired."""
        if fault_of(self.tenant) or (self.user and fault_of(self.user)):
            return False
        return not self.revoked_at and (not self.expires or now < self.expires)


SHAPE = Shape("token", Token)


class Tokens:
    """The tokens in a store's records."""

    def __init__(self, records: Callable[[], Records], clock: Callable[[], int]) -> None:
        """`records` returns the records of a store that need not be open yet."""
        self._records = records
        self._clock = clock
        self._cache: dict[str, tuple[int, Token | None]] = {}
        self._some = False

    async def create(self, token: Token) -> str:
        """Store a new token; returns its secret, which is not stored."""
        secret = PREFIX + secrets.token_urlsafe(32)
        new_token = msgspec.structs.replace(
            token, id=f"tok_{secrets.token_hex(8)}", created=self._clock()
        )
        await self._records().put(BUCKET, _hash(secret), SHAPE.encode(new_token), revision=0)
        self._cache.clear()
        return secret

    async def all(self) -> Sequence[Token]:
        """All tokens, including revoked and expired ones."""
        return [_token(record) for record in await self._scan()]

    async def revoke(self, id: str) -> Token:
        """Revoke a token. Raises `NotFound`."""
        for record in await self._scan():
            token = _token(record)
            if token.id == id:
                revoked = msgspec.structs.replace(token, revoked_at=self._clock())
                await self._records().put(BUCKET, record.key, SHAPE.encode(revoked))
                self._cache.clear()
                return revoked
        raise NotFound(f"No token found with id '{id}'.", code="not_found")

    async def find(self, secret: str) -> Token | None:
        """The token with this secret, if it exists and is valid."""
        key, now = _hash(secret), self._clock()
        until, token = self._cache.get(key, (0, None))
        if now >= until:
            record = await self._records().get(BUCKET, key)
            token = None if record is None else _token(record)
            if len(self._cache) >= MOST_TOKENS:
                self._cache.clear()
            self._cache[key] = (now + MOST_SECRETS, token)
        return token if token is not None and token.stands(now) else None

    async def any(self) -> bool:
        """Whether any token exists, so that requests need one: once there is one there always is, since
        revoked ones stay."""
        if self._some:
            return True
        now = self._clock()
        until, _ = self._cache.get("", (0, None))
        if now < until:
            return False
        self._some = bool(await self._records().scan(BUCKET, limit=1))
        if not self._some:
            self._cache[""] = (now + MOST_SECRETS, None)
        return self._some

    async def _scan(self) -> Sequence[Record]:
        tokens: list[Record] = []
        while page := await self._records().scan(BUCKET, after=tokens[-1].key if tokens else ""):
            tokens += page
        return tokens


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _token(record: Record) -> Token:
    return SHAPE.decode(record.value)
