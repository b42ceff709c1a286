"""API tokens: shown once, kept as a hash, good until they are revoked or too old."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tailrace.auth.principal import Principal
from tailrace.auth.tokens import BUCKET, MOST_SECRETS, Token, Tokens
from tailrace.cli.tokens import create
from tailrace.errors import ConfigError, NotFound
from tailrace.log.stores.memory.store import MemoryStore
from tailrace.log.stores.sqlite.records import side_records
from tailrace.log.stores.sqlite.store import SqliteStore


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def tokens(clock: Clock) -> Tokens:
    store = MemoryStore()
    await store.open()
    return Tokens(lambda: store.records, clock)


ANN = Token(id="", name="ann", tenant="acme", user="ann", scopes=("run",))


@pytest.mark.req("R49")
async def test_a_token_is_found_by_its_secret_alone(tokens: Tokens) -> None:
    secret = await tokens.create(ANN)
    assert re.fullmatch(r"oat_[A-Za-z0-9_-]{43}", secret), "256 bits"
    found = await tokens.find(secret)
    assert found is not None
    assert found.principal() == Principal("acme", "ann", frozenset({"run"}), found.id)
    for wrong in ("", "oat_", secret[:-1], secret + "x", "unused", "\udcff"):
        assert await tokens.find(wrong) is None


@pytest.mark.parametrize("name", ["", " ", "\t", "\u200b", "a\x1fb", "a\n", "\udcff", "x" * 257])
async def test_an_invalid_tenant_or_user_gets_no_token(
    tokens: Tokens, tmp_path: Path, name: str
) -> None:
    """`--user "$USER_ID"` with an empty variable is an error; it does not mean all users of the tenant."""
    (tmp_path / "tailrace.toml").write_text("", encoding="utf-8")
    for tenant, user in ((name, "ann"), ("acme", name), (name, None)):
        with pytest.raises(ConfigError, match=r"--tenant|--user"):
            await create(
                str(tmp_path / "tailrace.toml"),
                "ann",
                tenant=tenant,
                user=user,
                scopes=[],
                days=0,
                limits=[],
            )
    kept = [msgspec.structs.replace(ANN, tenant=name)]
    kept += [msgspec.structs.replace(ANN, user=name)] if name else []
    for token in kept:
        try:
            secret = await tokens.create(token)
        except UnicodeEncodeError:
            continue
        assert await tokens.find(secret) is None, "nor does one that is kept already count"


async def test_the_secret_is_nowhere(tokens: Tokens) -> None:
    secret = await tokens.create(ANN)
    records = await tokens._records().scan(BUCKET)
    assert secret not in repr(records)
    assert secret not in repr(await tokens.all())


async def test_a_revoked_token_is_worth_nothing_after_a_moment(
    tokens: Tokens, clock: Clock
) -> None:
    secret = await tokens.create(ANN)
    (token,) = await tokens.all()
    other = Tokens(tokens._records, clock)
    assert await other.find(secret) is not None
    await tokens.revoke(token.id)
    assert await tokens.find(secret) is None
    clock.now += MOST_SECRETS
    assert await other.find(secret) is None, "another process notices too"
    (revoked,) = await tokens.all()
    assert not revoked.stands(clock.now)
    with pytest.raises(NotFound):
        await tokens.revoke("tok_x")


async def test_an_expired_token_is_worth_nothing(tokens: Tokens, clock: Clock) -> None:
    secret = await tokens.create(
        Token(id="", name="short", tenant="acme", expires=clock.now + 1_000)
    )
    assert await tokens.find(secret) is not None
    clock.now += 1_000
    assert await tokens.find(secret) is None


async def test_the_first_token_is_noticed(tokens: Tokens, clock: Clock) -> None:
    assert not await tokens.any()
    other = Tokens(tokens._records, clock)
    await other.create(ANN)
    clock.now += MOST_SECRETS
    assert await tokens.any()


async def test_tokens_can_be_made_while_a_server_owns_the_folder(
    tmp_path: Path, clock: Clock
) -> None:
    beside = Tokens(lambda: side_records(tmp_path), clock)
    before = await beside.create(ANN)
    store = SqliteStore(tmp_path)
    await store.open()
    try:
        owner = Tokens(lambda: store.records, clock)
        meanwhile = await beside.create(ANN)
        for secret in (before, meanwhile):
            assert await owner.find(secret) is not None
        assert len(await owner.all()) == len(await beside.all()) == 2
    finally:
        await store.close()
