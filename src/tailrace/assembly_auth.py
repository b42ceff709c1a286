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
    """Who comes in, and how often. `open`: whether it may stand open while there are no tokens."""
    return Gate(
        Tokens(lambda: store.records, clock),
        _verifier(config),
        open=open,
        each=config.limits.token,
        tenant=config.limits.tenant,
    )


def secret(where: str, variable: str) -> str:
    """A secret from the environment. Raises `ConfigError`."""
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(f"{where} the environment has no {variable}")
    return value


def _verifier(config: Config) -> JwtVerifier | None:
    """What reads the tokens of an identity provider, where one is configured."""
    found = config.auth.jwt
    if found is None:
        return None
    from tailrace.auth.jwt import JwtSettings, JwtVerifier
    from tailrace.models.outbound import fetch

    private = config.server.allow_private
    return JwtVerifier(
        JwtSettings(
            secret=secret("[auth.jwt]", found.secret_env) if found.secret_env else "",
            issuer=found.issuer,
            audience=found.audience,
            algorithms=found.algorithms,
            tenant_claim=found.tenant_claim,
            user_claim=found.user_claim,
            without_user=found.without_user,
            scope_claim=found.scope_claim,
            scope_prefix=found.scope_prefix,
            tenant=found.tenant,
        ),
        partial(fetch, found.jwks_url, private=private) if found.jwks_url else None,
    )
