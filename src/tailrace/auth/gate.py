"""Authentication of a request: from its credentials to a principal, or a refusal.

Clients send a key in several headers: `Authorization: Bearer`, `X-API-Key`, `x-oauth-access-token`, some in
several at once (an SDK always sends a key of its own beside the valid one). One valid key is enough; an
invalid one beside it is ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import msgspec

from tailrace.auth.limits import EACH, NO_LIMITS, TENANT, Account, GivenLimits, Rates
from tailrace.auth.principal import CREDENTIALS, LOCAL, Principal, Scope
from tailrace.auth.tokens import Tokens
from tailrace.errors import Forbidden, LogError, Unauthorized

if TYPE_CHECKING:  # PyJWT is slow to import, and most servers have no identity provider
    from tailrace.auth.jwt import JwtVerifier

UNSAID = GivenLimits()


class Gate:
    """The gate of one server. `open`: requests without a key are allowed while there are no tokens
    (loopback)."""

    def __init__(
        self,
        tokens: Tokens,
        verifier: JwtVerifier | None,
        *,
        open: bool,
        each: GivenLimits = UNSAID,
        tenant: GivenLimits = UNSAID,
        rates: Rates | None = None,
        run_headers: Collection[str] = (),
    ) -> None:
        """`run_headers` are the headers that a run keeps, in lower case. `each` are the limits of every
        token, or user of an identity provider, `tenant` those of every tenant. Missing limits have defaults.
        Requests without a key have no limits: they come from one person at their own machine."""
        self.tokens = tokens
        self._each = each
        self._tenant = tenant
        self._rates = rates or Rates()
        self._verifier = verifier
        self._open = open
        self.run_headers = tuple(run_headers)

    async def admit(self, headers: Mapping[str, str], scope: Scope) -> Principal:
        """The principal of a request. Raises `Unauthorized` for missing or invalid credentials, `Forbidden`
        for a missing scope, `TooMany` when a rate limit is exceeded."""
        principal = self._with_accounts(await self._principal(headers))
        self._rates.take(principal.accounts)
        if not principal.may(scope):
            raise Forbidden(f"This key may not do this: it lacks the scope '{scope}'.")
        return principal

    async def still(self, headers: Mapping[str, str], who: Principal) -> bool:
        """Whether these headers would still authenticate `who`; true while that cannot be determined."""
        try:
            principal = await self._principal(headers)
        except Unauthorized:
            return False
        except LogError:
            return True
        return (principal.tenant, principal.user, principal.token) == (
            who.tenant,
            who.user,
            who.token,
        )

    async def stands_open(self) -> bool:
        """Whether every client that reaches the server may do everything."""
        return self._open and self._verifier is None and not await self.tokens.any()

    def _with_accounts(self, who: Principal) -> Principal:
        key = f"token:{who.token}" if who.token else f"user:{who.tenant}\x1f{who.user}"
        each, tenant = (NO_LIMITS, NO_LIMITS) if who is LOCAL else (EACH, TENANT)
        accounts = (
            Account(key, "key", self._each.over(each).but(who.limits)),
            Account(f"tenant:{who.tenant}", "tenant", self._tenant.over(tenant)),
        )
        return msgspec.structs.replace(who, accounts=accounts)

    async def _principal(self, headers: Mapping[str, str]) -> Principal:
        if await self.stands_open():
            return LOCAL
        secrets = [_secret(headers.get(name, "")) for name in CREDENTIALS]
        non_empty = [secret for secret in secrets if secret]
        for secret in non_empty:
            token = await self.tokens.find(secret)
            if token is not None:
                return token.principal()
            if self._verifier is not None:
                principal = await self._verifier.principal(secret)
                if principal is not None:
                    return principal
        if non_empty:
            raise Unauthorized("Incorrect API key provided.", code="invalid_api_key")
        raise Unauthorized("You did not provide an API key.", code="missing_api_key")


def _secret(header: str) -> str:
    kind, _, rest = header.strip().partition(" ")
    return rest.strip() if kind.lower() == "bearer" else header.strip()
