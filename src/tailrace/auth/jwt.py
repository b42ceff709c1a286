"""OAuth access tokens: JSON Web Tokens that an identity provider signed.

Signature, issuer, audience and expiry are checked; the accepted algorithms are configured, never taken from
the token. Keys come from the provider's JWKS, which is cached and fetched again for an unknown key.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, TypeAlias, TypeGuard, cast

import jwt
from msgspec import Struct

from tailrace.auth.jwks import Fetch, Keys
from tailrace.auth.principal import SCOPES, Principal, Scope, fault_of

logger = logging.getLogger("tailrace.auth")

LEEWAY = 30
"""Allowed difference between clocks, in seconds."""
WithoutUser: TypeAlias = Literal["refuse", "whole_tenant"]
"""The treatment of a token without the user claim."""
USUAL: frozenset[Scope] = frozenset(("run", "read"))


class JwtSettings(Struct, frozen=True, kw_only=True):
    """`secret` is the shared secret, if the provider has one. Claims are named; `scope_prefix` is the prefix
    of our scopes in the scope claim, by which a provider separates them from those of other services.
    `without_user` accepts tokens without the user claim, but not with an empty or invalid one: that is a
    mistake. An unknown key id causes a fetch of the JWKS at most every `cooldown_seconds`."""

    secret: str = ""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    tenant_claim: str = "tenant"
    user_claim: str = "sub"
    without_user: WithoutUser = "refuse"
    scope_claim: str = "scope"
    scope_prefix: str = "tailrace:"
    tenant: str = ""
    cooldown_seconds: float = 30.0


class JwtVerifier:
    """Turns a token into a principal, or None."""

    def __init__(self, settings: JwtSettings, fetch: Fetch | None = None) -> None:
        """`fetch` fetches the provider's JWKS, unless there is a secret."""
        self._settings = settings
        self._keys = None if fetch is None else Keys(fetch, settings.cooldown_seconds)

    async def principal(self, token: str) -> Principal | None:
        """The principal of a token; None if the provider did not sign it, or it is no longer valid."""
        if token.count(".") != 2:
            return None
        try:
            key = await self._key(token)
            if key is None:
                return None
            claims = self._claims(token, key)
        except jwt.PyJWTError:
            return None
        return self._who(claims)

    async def _key(self, token: str) -> Any:
        if self._keys is None:
            return self._settings.secret
        return await self._keys.find(jwt.get_unverified_header(token).get("kid"))

    def _claims(self, token: str, key: Any) -> dict[str, Any]:
        settings = self._settings
        return jwt.decode(
            token,
            key,
            algorithms=list(settings.algorithms),
            issuer=settings.issuer or None,
            audience=settings.audience or None,
            leeway=LEEWAY,
            options={"require": ["exp"], "verify_aud": bool(settings.audience)},
        )

    def _who(self, claims: dict[str, Any]) -> Principal | None:
        settings = self._settings
        tenant = settings.tenant or _name(claims, settings.tenant_claim)
        if settings.user_claim not in claims and settings.without_user == "whole_tenant":
            user: str | None = ""
        else:
            user = _name(claims, settings.user_claim)
        scopes = self._scopes(claims)
        if tenant is None or user is None or scopes is None:
            return None
        return Principal(tenant, user, scopes, claims=claims)

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope] | None:
        """Our scopes in a claim that is a list or a string, None for any other value. A provider that uses
        none of ours grants `run` and `read`; one that uses any name with our prefix grants exactly the
        known ones."""
        claim = claims.get(self._settings.scope_claim, "")
        words = claim.split() if isinstance(claim, str) else claim
        if not _are_texts(words):
            _refuse(self._settings.scope_claim, "is neither a string nor a list of strings")
            return None
        prefix = self._settings.scope_prefix
        scopes: frozenset[Scope] = frozenset(
            scope for scope in SCOPES if f"{prefix}{scope}" in words
        )
        ours = bool(prefix) and any(word.startswith(prefix) for word in words)
        return scopes if scopes or ours else USUAL


def _are_texts(words: object) -> TypeGuard[list[str]]:
    return isinstance(words, list) and all(
        isinstance(word, str) for word in cast("list[object]", words)
    )


def _name(claims: dict[str, Any], claim: str) -> str | None:
    """The name of a tenant or a user in a claim; None for an invalid one."""
    fault = fault_of(claims[claim]) if claim in claims else "is missing"
    if fault:
        _refuse(claim, fault)
        return None
    return cast("str", claims[claim])


def _refuse(claim: str, fault: str) -> None:
    """Log why a token that the provider signed is refused; the token itself is not logged."""
    logger.warning("[auth.jwt] a token was refused: its claim %r %s", claim, fault)
