"""OAuth access tokens: JSON Web Tokens that an identity provider signed.

Checked are signature, issuer, audience and expiry; which algorithms count is configured, never taken from
the token. Keys come from the provider's JWKS, which is cached and asked again for an unknown key.
"""

from __future__ import annotations

import re
from typing import Any, cast

import jwt
from msgspec import Struct

from tailrace.auth.jwks import Fetch, Keys
from tailrace.auth.principal import SCOPES, Principal, Scope

LEEWAY = 30
"""Seconds that clocks may differ."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What no name has: controls (one stands between names in keys of records), and what is no character."""
USUAL: frozenset[Scope] = frozenset(("run", "read"))


class JwtSettings(Struct, frozen=True, kw_only=True):
    """`secret`, where the provider shares one. Claims by name; `scope_prefix` stands before our scopes in
    the claim of scopes, so that a provider can keep them apart from others'. An unknown key has the JWKS
    asked again at most every `cooldown_seconds`."""

    secret: str = ""
    issuer: str = ""
    audience: str = ""
    algorithms: tuple[str, ...] = ("RS256",)
    tenant_claim: str = "tenant"
    user_claim: str = "sub"
    scope_claim: str = "scope"
    scope_prefix: str = "tailrace:"
    tenant: str = ""
    cooldown_seconds: float = 30.0


class JwtVerifier:
    """Turns a token into a principal, or into nothing."""

    def __init__(self, settings: JwtSettings, fetch: Fetch | None = None) -> None:
        """`fetch` gives the provider's JWKS, unless there is a secret."""
        self._settings = settings
        self._keys = None if fetch is None else Keys(fetch, settings.cooldown_seconds)

    async def principal(self, token: str) -> Principal | None:
        """Who shows this token; None when it is none of this provider's, or no longer good."""
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
        tenant = settings.tenant or claims.get(settings.tenant_claim)
        user = claims.get(settings.user_claim, "")
        if not isinstance(tenant, str) or not tenant or not isinstance(user, str):
            return None
        if _UNFIT.search(tenant + user):
            return None
        return Principal(tenant, user, self._scopes(claims.get(settings.scope_claim)))

    def _scopes(self, claim: object) -> frozenset[Scope]:
        """Our scopes in a list or in words; a provider that names none of ours gives `run` and `read`."""
        words: list[object] = []
        if isinstance(claim, str):
            words = [*claim.split()]
        elif isinstance(claim, list):
            words = cast("list[object]", claim)
        prefix = self._settings.scope_prefix
        named: frozenset[Scope] = frozenset(
            scope for scope in SCOPES if f"{prefix}{scope}" in words
        )
        return named or USUAL
