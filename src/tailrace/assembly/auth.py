"""The gate of a server, from its configuration; and secrets, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tailrace.auth.gate import Gate
from tailrace.auth.tokens import Tokens
from tailrace.config import Config
from tailrace.errors import ConfigError
from tailrace.log.contract import Store

if TYPE_CHECKING:
    from tailrace.auth.jwt import JwtVerifier


def gate(config: Config, store: Store, clock: Callable[[], int], *, open: bool) -> Gate:
    """The authentication and rate limits of a server. `open`: allow requests without a key while there are no
    tokens."""
    return Gate(
        Tokens(lambda: store.records, clock),
        _verifier(config),
        open=open,
        each=config.limits.token,
        tenant=config.limits.tenant,
        run_headers=[name.lower() for name in config.server.run_headers],
    )


def secret(where: str, variable: str) -> str:
    """A secret from the environment. Raises `ConfigError`."""
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(f"{where} the environment has no {variable}")
    return value


def _verifier(config: Config) -> JwtVerifier | None:
    """The verifier of an identity provider's tokens, if one is configured."""
    jwt = config.auth.jwt
    if jwt is None:
        return None
    from tailrace.auth.jwt import JwtSettings, JwtVerifier
    from tailrace.models.outbound import fetch

    private = config.server.allow_private
    return JwtVerifier(
        JwtSettings(
            secret=secret("[auth.jwt]", jwt.secret_env) if jwt.secret_env else "",
            issuer=jwt.issuer,
            audience=jwt.audience,
            algorithms=jwt.algorithms,
            tenant_claim=jwt.tenant_claim,
            user_claim=jwt.user_claim,
            without_user=jwt.without_user,
            scope_claim=jwt.scope_claim,
            scope_prefix=jwt.scope_prefix,
            tenant=jwt.tenant,
        ),
        partial(fetch, jwt.jwks_url, private=private) if jwt.jwks_url else None,
    )
