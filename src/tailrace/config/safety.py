"""Valid settings that may be mistakes: warnings of `tailrace check`, and of a server at its start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from tailrace.auth.limits import EACH, TENANT
from tailrace.config.shapes import Config

SECRET = re.compile(r"authori[sz]ation|cookie|key|token|secret|password", re.IGNORECASE)
"""Names of values that should not be in a file."""
BY_BODY = "input_bytes"
"""A limit that another one replaces: `max_body_bytes`."""


def warnings(config: Config) -> Iterator[str]:
    """A line for each warning. None of them shows a value."""
    yield from _reach(config)
    yield from _auth(config)
    for name, model in config.models.items():
        yield from _entries(f"[models.{name}] headers", model.headers)
        if model.base_url and urlsplit(model.base_url).path in ("", "/"):
            url = f"{model.base_url.rstrip('/')}/v1"
            yield f"[models.{name}] base_url has no path; most servers answer under /v1: {url!r}"
        if _in_the_clear(model.base_url):
            yield f"[models.{name}] base_url is http: what goes there can be read on the way"
    for name, agent in config.agents.items():
        for server in agent.mcp:
            where = f"[agents.{name}] mcp {server.label!r}"
            yield from _entries(f"{where} headers", server.headers)
            yield from _entries(f"{where} env", server.env)
            if _in_the_clear(server.url):
                yield f"{where} url is http: what goes there can be read on the way"


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reach(config: Config) -> Iterator[str]:
    if "*" in config.server.cors_origins:
        yield "[server] cors_origins has '*': any page that a user opens may ask this server"
    if not is_loopback(config.server.host):
        yield "[server] host: others reach it, without encryption; put a proxy with TLS before it"
        yield from _off(config)
    if config.server.allow_private:
        yield "[server] allow_private: a name that comes to point inside your network is followed"


def _off(config: Config) -> Iterator[str]:
    """The limits without effect, by name."""
    limits = config.limits
    tables = msgspec.structs.asdict(limits)
    tables |= {"token": limits.token.over(EACH), "tenant": limits.tenant.over(TENANT)}
    off = [] if config.server.max_runs else ["server.max_runs"]
    for name, table in tables.items():
        if isinstance(table, msgspec.Struct):
            values = msgspec.structs.asdict(table).items()
            off += [f"{name}.{key}" for key, value in values if not value and key != BY_BODY]
        elif not table:
            off.append(name)
    if off:
        yield f"[limits] {', '.join(off)}: off, and others reach the server"


def _auth(config: Config) -> Iterator[str]:
    jwt = config.auth.jwt
    if jwt is not None:
        if not jwt.audience:
            yield "[auth.jwt] audience: tokens that the provider issued for other services are accepted"
        if not jwt.issuer:
            yield "[auth.jwt] issuer: missing: tokens of every issuer that uses this key are accepted"
        if jwt.without_user == "whole_tenant":
            claim = jwt.user_claim
            yield f"[auth.jwt] without_user: a token without {claim!r} sees the whole tenant"
        if _in_the_clear(jwt.jwks_url):
            yield "[auth.jwt] jwks_url is http: an attacker on the network can forge tokens"
    has_prices = all(model.price for model in config.models.values() if model.base_url)
    if (config.limits.token.cost_per_day or config.limits.tenant.cost_per_day) and not has_prices:
        yield "[limits] cost_per_day: a model without a price costs nothing"


def _entries(where: str, values: Mapping[str, str]) -> Iterator[str]:
    for name in values:
        if SECRET.search(name):
            yield f"{where}: {name} is in the file; read it from the environment"


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
