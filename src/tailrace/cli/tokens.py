"""`tailrace token`: create, list and revoke API tokens, also while a server uses the same folder."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from tailrace import config
from tailrace.assembly import stores
from tailrace.auth.limits import Limits
from tailrace.auth.principal import SCOPES, Scope, fault_of
from tailrace.auth.tokens import Token, Tokens
from tailrace.cli.sources import place_of
from tailrace.config import nearest
from tailrace.errors import ConfigError, NotFound

DAY = 86_400_000
"""Milliseconds."""


def tokens_of(settings: config.Config, data: Path, *, wait: float = 0.0) -> Tokens:
    """The tokens of the configured engine, or else of the folder `data`; `wait` as for `stores.settings`.
    Raises `ConfigError`."""
    records = stores.side_records(settings, data, wait=wait)
    return Tokens(lambda: records, stores.clock)


def tokens(source: str) -> Tokens:
    """The tokens of the server of a configuration file, or of `module:app`."""
    place = place_of(source)
    return tokens_of(place.config, place.data)


async def create(
    source: str,
    name: str,
    *,
    tenant: str,
    user: str | None,
    scopes: list[str],
    days: int,
    limits: list[str],
) -> None:
    """Create a token and print its secret, which is shown only here. Without a `user` the token sees all runs
    of the tenant; an empty user is an error (often an environment variable without a value). Raises
    `ConfigError`."""
    for option, value in (("--tenant", tenant), ("--user", user)):
        if value is not None and (fault := fault_of(value)):
            raise ConfigError(f"{option} {fault}")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ConfigError(f"unknown scope: {unknown[0]!r}; known: {', '.join(SCOPES)}")
    in_order: tuple[Scope, ...] = tuple(scope for scope in SCOPES if scope in scopes)
    secret = await tokens(source).create(
        Token(
            id="",
            name=name,
            tenant=tenant,
            user=user or "",
            scopes=in_order or ("run", "read"),
            expires=stores.clock() + days * DAY if days else 0,
            limits=_limits(limits),
        )
    )
    typer.echo(secret)


def _limits(options: list[str]) -> dict[str, int | float]:
    """Limits like `requests_per_minute=60`. Raises `ConfigError`."""
    limits: dict[str, int | float] = {}
    for option in options:
        name, _, value = option.partition("=")
        if name not in Limits.__struct_fields__:
            raise ConfigError(f"unknown limit: {name!r}{nearest(name, Limits.__struct_fields__)}")
        try:
            limits[name] = float(value) if name == "cost_per_day" else int(value)
        except ValueError:
            raise ConfigError(f"{name} must be a number, not {value!r}") from None
        if limits[name] < 0:
            raise ConfigError(f"{name} must not be negative")
    return limits


async def show(source: str) -> None:
    """Print a line for each token, without its secret. Raises `ConfigError`, `LogError`."""
    for token in sorted(await tokens(source).all(), key=lambda token: token.created):
        state = "good" if token.stands(stores.clock()) else "expired"
        fields = (
            token.id,
            "revoked" if token.revoked_at else state,
            token.tenant,
            token.user or "-",
            ",".join(token.scopes),
            _day(token.created),
            _day(token.expires) if token.expires else "never",
            ",".join(f"{limit}={most}" for limit, most in token.limits.items()) or "-",
            token.name,
        )
        typer.echo("\t".join(fields))


async def revoke(source: str, id: str) -> None:
    """Revoke a token. Raises `ConfigError` for an unknown id."""
    try:
        token = await tokens(source).revoke(id)
    except NotFound as error:
        raise ConfigError(error.message) from None
    typer.echo(f"{token.id} ({token.name}) is revoked")


def _day(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(milliseconds / 1000))
