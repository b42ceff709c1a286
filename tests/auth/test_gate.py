"""Which clients are admitted, by which header, and which operations each may use."""

from __future__ import annotations

import time

import jwt
import pytest

from tailrace.auth.gate import Gate
from tailrace.auth.jwt import JwtSettings, JwtVerifier
from tailrace.auth.limits import EACH, NO_LIMITS, TENANT, GivenLimits, Limits
from tailrace.auth.principal import LOCAL, Scope
from tailrace.auth.tokens import Token, Tokens
from tailrace.errors import Forbidden, Unauthorized
from tailrace.log.stores.memory.store import MemoryStore

SECRET = "a secret that only tests know, and that is long enough for everybody: 64"
JWT = jwt.encode({"tenant": "acme", "sub": "ann", "exp": time.time() + 600}, SECRET, "HS256")


async def _gate(*scopes: Scope, open: bool = True, oauth: bool = True) -> tuple[Gate, str]:
    store = MemoryStore()
    await store.open()
    tokens = Tokens(lambda: store.records, lambda: 1)
    verifier = JwtVerifier(JwtSettings(secret=SECRET, algorithms=("HS256",))) if oauth else None
    secret = ""
    if scopes:
        secret = await tokens.create(Token(id="", name="t", tenant="acme", scopes=scopes))
    return Gate(tokens, verifier, open=open), secret


@pytest.mark.req("R31")
@pytest.mark.req("R32")
@pytest.mark.req("R51")
@pytest.mark.req("R52")
async def test_any_good_key_in_any_header_wins() -> None:
    gate, secret = await _gate("run", "read")
    for headers in (
        {"authorization": f"Bearer {secret}"},
        {"authorization": f"bearer  {secret} "},
        {"x-api-key": secret},
        {"x-oauth-access-token": JWT},
        {"authorization": f"Bearer {JWT}"},
        {"authorization": "Bearer unused", "x-oauth-access-token": JWT},
        {"authorization": "Bearer unused", "x-api-key": secret},
        {"authorization": f"Bearer {secret}", "x-oauth-access-token": "a.b.c"},
    ):
        found = await gate.admit(headers, "run")
        assert found.tenant == "acme", headers


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"authorization": "Bearer"}, "missing_api_key"),
        ({"authorization": "Bearer unused"}, "invalid_api_key"),
        ({"authorization": "Basic eDp5"}, "invalid_api_key"),
        ({"x-api-key": ""}, "missing_api_key"),
        ({"x-api-key": "oat_wrong", "x-oauth-access-token": "a.b.c"}, "invalid_api_key"),
    ],
)
async def test_strangers_stay_out(headers: dict[str, str], code: str) -> None:
    gate, _ = await _gate("admin")
    with pytest.raises(Unauthorized) as caught:
        await gate.admit(headers, "read")
    assert caught.value.code == code
    assert "unused" not in caught.value.message


async def test_a_stream_ends_when_its_token_expires() -> None:
    now, store = 1, MemoryStore()
    await store.open()
    tokens = Tokens(lambda: store.records, lambda: now)
    gate = Gate(tokens, None, open=True)
    nobody = await gate.admit({}, "read")
    assert await gate.still({}, nobody)
    first, second = [
        await tokens.create(Token(id="", name="t", tenant=tenant, expires=10))
        for tenant in ("acme", "other")
    ]
    assert not await gate.still({}, nobody)
    shown = {"authorization": f"Bearer {first}", "x-api-key": second}
    who = await gate.admit(shown, "read")
    assert await gate.still(shown, who)
    await tokens.revoke(who.token)
    assert not await gate.still(shown, who), "another key beside it is another's"
    other = await gate.admit(shown, "read")
    now = 10
    assert not await gate.still(shown, other)


async def test_scopes_limit_the_allowed_operations() -> None:
    allowed: dict[Scope, set[Scope]] = {
        "read": {"read"},
        "run": {"run", "read"},
        "admin": {"run", "read", "admin"},
    }
    for has, may in allowed.items():
        gate, secret = await _gate(has)
        for scope in allowed:
            if scope in may:
                await gate.admit({"x-api-key": secret}, scope)
            else:
                with pytest.raises(Forbidden):
                    await gate.admit({"x-api-key": secret}, scope)


async def test_an_open_server_is_everybody_s_until_there_is_a_token() -> None:
    gate, _ = await _gate(oauth=False)
    found = await gate.admit({"authorization": "Bearer unused"}, "admin")
    assert (found.tenant, found.token) == (LOCAL.tenant, "")
    for closed in (
        await _gate("run", oauth=False),
        await _gate(open=False, oauth=False),
        await _gate(oauth=True),
    ):
        assert not await closed[0].stands_open()


@pytest.mark.parametrize("headers", [{"x-oauth-access-token": JWT}, {}])
async def test_a_key_has_limits_without_any_configuration(headers: dict[str, str]) -> None:
    gate, secret = await _gate("run")
    who = await gate.admit(headers or {"x-api-key": secret}, "run")
    assert [account.limits for account in who.accounts] == [EACH, TENANT]
    assert all((EACH.concurrent_runs, EACH.requests_per_minute, EACH.readers_per_run))
    assert all((TENANT.concurrent_runs, TENANT.requests_per_minute, TENANT.readers_per_run))


async def test_an_open_server_has_only_the_configured_limits() -> None:
    store = MemoryStore()
    await store.open()
    tokens = Tokens(lambda: store.records, lambda: 1)
    said = GivenLimits(concurrent_runs=3, requests_per_minute=0)
    gate = Gate(tokens, None, open=True, each=said)
    who = await gate.admit({}, "run")
    assert [account.limits for account in who.accounts] == [Limits(concurrent_runs=3), NO_LIMITS]
    secret = await tokens.create(Token(id="", name="t", tenant="acme"))
    who = await gate.admit({"x-api-key": secret}, "run")
    assert who.accounts[0].limits == Limits(concurrent_runs=3, readers_per_run=EACH.readers_per_run)
