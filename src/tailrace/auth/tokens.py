"""API tokens: shown once, kept as a hash.

A token is `oat_` and 256 random bits. What is kept under its SHA-256 says whose it is and what it may do;
a hash of so many random bits needs no salt, and finding it is one exact lookup, which tells nobody how
close a wrong token was.
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
"""Milliseconds for which a token that was looked up is believed: so long a revoked one may still work."""
MOST_TOKENS = 4_096
"""Tokens remembered at most, wrong ones included."""


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a token. Times in milliseconds since the epoch; `expires` 0 for never. `limits` are
    those of its own, by the names of `Limits`."""

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
        """Who has this token."""
        scopes = frozenset(self.scopes)
        return Principal(self.tenant, self.user, scopes, self.id, self.limits)

    def stands(self, now: int) -> bool:
        """Whether it is neither revoked nor expired, and somebody's."""
        if fault_of(self.tenant) or (self.user and fault_of(self.user)):
            return False
        return not self.revoked_at and (not self.expires or now < self.expires)


SHAPE = Shape("token", Token)


class Tokens:
    """The tokens in a store's records."""

    def __init__(self, records: Callable[[], Records], clock: Callable[[], int]) -> None:
        """`records` gives the records of a store that need not be open yet."""
        self._records = records
        self._clock = clock
        self._cache: dict[str, tuple[int, Token | None]] = {}
        self._some = False

    async def create(self, token: Token) -> str:
        """Keep a new token; returns its secret, which nobody can tell again."""
        secret = PREFIX + secrets.token_urlsafe(32)
        new_token = msgspec.structs.replace(
            token, id=f"tok_{secrets.token_hex(8)}", created=self._clock()
        )
        await self._records().put(BUCKET, _hash(secret), SHAPE.encode(new_token), revision=0)
        self._cache.clear()
        return secret

    async def all(self) -> Sequence[Token]:
        """Every token there is, revoked and expired ones too."""
        return [_token(record) for record in await self._scan()]

    async def revoke(self, id: str) -> Token:
        """Let a token be worth nothing from now on. Raises `NotFound`."""
        for record in await self._scan():
            token = _token(record)
            if token.id == id:
                revoked = msgspec.structs.replace(token, revoked_at=self._clock())
                await self._records().put(BUCKET, record.key, SHAPE.encode(revoked))
                self._cache.clear()
                return revoked
        raise NotFound(f"No token found with id '{id}'.", code="not_found")

    async def find(self, secret: str) -> Token | None:
        """The token that a client showed, if there is one and it still stands."""
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
        """Whether there is any token at all, so that those who have none are strangers: once there is one,
        there always is, since revoked ones stay."""
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
